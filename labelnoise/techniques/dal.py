"""DAL: a loss that first fits all samples and later ignores the samples that it has not fitted."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
from jaxtyping import Float, Int
from torch import Tensor

from labelnoise.checks import Range, check_number
from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Batch
from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.losses.robust import power_loss
from labelnoise.losses.soft_targets import entropy
from labelnoise.techniques.loss import Loss


def dal_schedule(progress: float, q_start: float, q_end: float) -> tuple[float, float]:
    """q_t and lambda_t at ``progress`` = t/T in [0, 1] (arXiv 2303.11562).

    q_t = q_s + (q_e - q_s) t/T. Let t0 be the time at which q_t = 1. Then
    lambda_t = max(0, (t - t0) / (T - t0)) = max(0, (q_t - 1) / (q_e - 1)). If q_e is at most 1,
    lambda_t is always 0.

    Example:
        >>> [dal_schedule(progress, 0.5, 1.5) for progress in (0.0, 0.5, 0.75, 1.0)]
        [(0.5, 0.0), (1.0, 0.0), (1.25, 0.5), (1.5, 1.0)]
    """
    q = q_start + (q_end - q_start) * progress
    return q, (q - 1) / (q_end - 1) if q > 1 else 0.0


def dal(
    logits: Float[Tensor, "n K"], label: Int[Tensor, " n"], q: float, entropy_weight: float
) -> Float[Tensor, " n"]:
    """(1 - p_y^q) / q + lambda H(p) / (q ln K), H the entropy of p (arXiv 2303.11562).

    Args:
        q: above 0; above 1, samples with a smaller p_y have a smaller weight in the gradient.
        entropy_weight: lambda.

    Example:
        >>> import torch
        >>> dal(torch.zeros(1, 2), torch.tensor([0]), q=1.0, entropy_weight=0.5)
        tensor([1.])
    """
    fit = power_loss(logits, label, q)
    if entropy_weight == 0:
        return fit
    return fit + entropy_weight / (q * math.log(logits.shape[1])) * entropy(logits)


class DAL(Loss):
    """Trains on :func:`dal`; q rises from ``q_start`` to ``q_end`` over the whole training.

    At the start the loss is generalized cross-entropy with q_start. From q = 1 on, the weight of
    the entropy rises from 0 to 1. t counts optimizer steps (our choice). T is the planned number of
    steps, also if a technique ends the training earlier. Source: arXiv 2303.11562.

    Args:
        q_start: in (0, 1].
        q_end: above q_start.

    Raises:
        InputError: a number out of range.
    """

    def __init__(self, q_start: float = 0.6, q_end: float = 1.5) -> None:
        super().__init__()
        check_options_of(DAL, "technique.dal.", q_start=q_start)
        check_number("technique.dal.q_end", q_end, Range(q_start, above=True))
        self.q_start, self.q_end = q_start, q_end
        self.q, self.entropy_weight = dal_schedule(0.0, q_start, q_end)

    def prepare(self, data: NoisyLabelDataModule) -> None:
        """Nothing depends on the data."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Not in setup: reading this number creates the loader, and a resumed run has to restore
        # its position first.
        self.steps = trainer.estimated_stepping_batches

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        progress = min(1.0, trainer.global_step / self.steps)
        self.q, self.entropy_weight = dal_schedule(progress, self.q_start, self.q_end)

    def sample_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return dal(logits, batch.label, self.q, self.entropy_weight)

    def report(self) -> dict[str, Any]:
        """q and the weight of the entropy at the last step."""
        return {"q": self.q, "entropy_weight": self.entropy_weight}
