"""TCR: targets that mix the given label with the prediction of the previous epoch."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Batch
from labelnoise.losses.soft_targets import soft_ce
from labelnoise.techniques.target_loss import TargetLoss

# The learning rate has dropped if it is at most this share of its maximum so far. Our choice.
DROPPED = 0.5


def tcr_target(
    label: Int[Tensor, " n"],
    prediction: Float[Tensor, "n K"],
    beta: float,
    sharpening: float = 1.0,
) -> Float[Tensor, "n K"]:
    """beta y + (1 - beta) z, with z_k = prediction_k^s / sum_j prediction_j^s (arXiv 2007.00240).

    Args:
        prediction: probabilities of an earlier epoch.
        beta: weight of the given label y, in [0, 1].
        sharpening: s, at least 1; 1 leaves predictions as they are.

    Example:
        >>> import torch
        >>> tcr_target(torch.tensor([0]), torch.tensor([[0.25, 0.75]]), beta=0.2)
        tensor([[0.4000, 0.6000]])
        >>> tcr_target(torch.tensor([0]), torch.tensor([[0.25, 0.75]]), beta=0.0, sharpening=2.0)
        tensor([[0.1000, 0.9000]])
    """
    sharper = prediction**sharpening
    own = F.one_hot(label, prediction.shape[1])
    return beta * own + (1 - beta) * sharper / sharper.sum(1, keepdim=True)


class TCR(TargetLoss):
    """Trains on the cross-entropy with :func:`tcr_target`.

    The prediction of a sample is from the last batch with this sample, in the previous epoch. In
    the first epoch the target is the given label (our choice). Predictions are sharpened from the
    first step at which the learning rate is at most half of the highest so far, for example with
    ``scheduler=multi_step`` (our reading of "after the drop").
    Source: arXiv 2007.00240.

    Args:
        beta: weight of the given label, in [0, 1].
        sharpening: the exponent after the drop of the learning rate, at least 1.

    Raises:
        InputError: a number out of range.
    """

    state = ("highest_rate", "sharpened_from_step")

    def __init__(self, beta: float = 0.1, sharpening: float = 1.1) -> None:
        super().__init__()
        check_options_of(TCR, "technique.tcr.", beta=beta, sharpening=sharpening)
        self.beta = beta
        self.sharpening = sharpening
        self.highest_rate = 0.0
        self.sharpened_from_step: int | None = None

    def first_targets(self, label: Int[Tensor, " n"], num_classes: int) -> Int[Tensor, "n K"]:
        return F.one_hot(label, num_classes)

    def next_targets(
        self, target: Float[Tensor, "n K"], logits: Float[Tensor, "n K"]
    ) -> Float[Tensor, "n K"]:
        return logits.detach().softmax(1)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        rate = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.highest_rate = max(rate, self.highest_rate)
        if self.sharpened_from_step is None and rate <= DROPPED * self.highest_rate:
            self.sharpened_from_step = trainer.global_step

    def sample_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        sharpening = 1.0 if self.sharpened_from_step is None else self.sharpening
        prediction = self.target[batch.index].to(logits)
        return soft_ce(logits, tcr_target(batch.label, prediction, self.beta, sharpening))

    def report(self) -> dict[str, Any]:
        return {"sharpened_from_step": self.sharpened_from_step}
