"""What is measured of every training sample once an epoch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from numpy.typing import DTypeLike
from torch import Tensor
from torch.nn import functional as F


class Measurements(NamedTuple):
    """One value a sample of each kind; tensors where they are measured, arrays where they are kept.

    Attributes:
        loss: cross-entropy with the given label.
        probability: p(given label).
        margin: logit of the given label minus the largest other logit, below 0 where the given
            label is not predicted (AUM's margin).
        prediction: the predicted class.
    """

    loss: Shaped[Tensor | np.ndarray, " n"]
    probability: Shaped[Tensor | np.ndarray, " n"]
    margin: Shaped[Tensor | np.ndarray, " n"]
    prediction: Shaped[Tensor | np.ndarray, " n"]


# How each is kept. A margin beyond float16's 65,504 is cut there; a loss keeps its full precision,
# since late in training most of them lie close to 0.
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
    """The arrays that are written: a resumed run reads back just what the first one went on with.

    A loss or margin too large for its type becomes the largest number that it holds.
    """
    kept = {}
    for name, dtype in KEPT_AS.items():
        values = np.asarray(torch.as_tensor(getattr(measured, name)).cpu())
        if np.issubdtype(dtype, np.floating):
            limit = np.finfo(dtype).max
            values = np.clip(values, -limit, limit)
        kept[name] = values.astype(dtype)
    return Measurements(**kept)
