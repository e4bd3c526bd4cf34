"""The measurements of every training sample in an epoch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from numpy.typing import DTypeLike
from torch import Tensor
from torch.nn import functional as F


class Measurements(NamedTuple):
    """Four values for each sample; tensors when measured, numpy arrays when stored.

    Attributes:
        loss: cross-entropy with the given label.
        probability: p(given label).
        margin: logit of the given label minus the largest other logit (the margin of AUM); negative
            if the network predicts another class.
        prediction: the predicted class.
    """

    loss: Shaped[Tensor | np.ndarray, " n"]
    probability: Shaped[Tensor | np.ndarray, " n"]
    margin: Shaped[Tensor | np.ndarray, " n"]
    prediction: Shaped[Tensor | np.ndarray, " n"]


# Types on disk. A margin is clipped at 65,504, the maximum of float16. A loss keeps single
# precision, because late in training most losses are close to 0.
KEPT_AS: dict[str, DTypeLike] = {
    "loss": np.float32,
    "probability": np.float16,
    "margin": np.float16,
    "prediction": np.int16,
}


@torch.no_grad()
def measure(logits: Float[Tensor, "n K"], label: Int[Tensor, " n"]) -> Measurements:
    """Measure samples from their logits, K >= 2.

    Example:
        >>> measured = measure(torch.tensor([[3.0, 1.0], [2.0, 2.5]]), torch.tensor([0, 0]))
        >>> measured.margin.tolist(), measured.prediction.tolist()
        ([2.0, -0.5], [0, 1])
    """
    logits = logits.detach().float()
    own = label[:, None]
    loss = F.cross_entropy(logits, label, reduction="none")
    others = logits.scatter(1, own, -torch.inf).amax(1)
    margin = logits.gather(1, own)[:, 0] - others
    return Measurements(loss, torch.exp(-loss), margin, logits.argmax(1))


def as_kept(measured: Measurements) -> Measurements:
    """The arrays in their types on disk; a run continues with these, so resuming changes nothing.

    A loss or margin that is too large for its type becomes the largest number of the type.
    """
    kept = {}
    for name, dtype in KEPT_AS.items():
        values = np.asarray(torch.as_tensor(getattr(measured, name)).cpu())
        if np.issubdtype(dtype, np.floating):
            limit = np.finfo(dtype).max
            values = np.clip(values, -limit, limit)
        kept[name] = values.astype(dtype)
    return Measurements(**kept)
