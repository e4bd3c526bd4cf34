"""Forward and backward correction by a transition matrix that is given, recorded or estimated."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from labelnoise.checks import check_word
from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Batch
from labelnoise.data.module import NoisyLabelDataModule, data_of, steps_per_pass
from labelnoise.errors import InputError
from labelnoise.learner.classifier import classifier_of
from labelnoise.losses import (
    backward_correction,
    ce,
    check_transition_matrix,
    forward_correction,
)
from labelnoise.noise.truth import UnknownTruth
from labelnoise.processes.distributed import from_rank_zero
from labelnoise.techniques.loss import Loss

log = logging.getLogger(__name__)

CORRECTIONS = {"forward": forward_correction, "backward": backward_correction}


def estimate_from_anchors(
    probability: Float[Tensor, "n K"], percentile: float = 100.0
) -> Float[Tensor, "K K"]:
    """T[i, j] = p_j at the anchor point of class i, the sample with the largest p_i.

    A sample that certainly belongs to class i has the noisy label j with probability T[i, j], and
    a network trained on noisy labels predicts this probability (Patrini et al., CVPR 2017, section
    4). In ascending order of p_i, the anchor has the position round((n - 1) percentile / 100),
    counted from 0.

    Args:
        probability: predictions p of a network that was trained on noisy labels.
        percentile: in [0, 100]; 100 is the largest p_i, 97 leaves out outliers.

    Example:
        >>> p = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
        >>> estimate_from_anchors(p)
        tensor([[0.9000, 0.1000],
                [0.2000, 0.8000]])
    """
    number = round((len(probability) - 1) * percentile / 100)
    anchors = probability.argsort(dim=0, stable=True)[number]
    return probability[anchors]


class TransitionCorrection(Loss):
    """Trains on the forward or the backward corrected cross-entropy.

    With ``matrix="anchor"`` a warm-up trains on plain cross-entropy. At its end the matrix is
    estimated from the predictions on the training samples, and training continues from the same
    weights (our choice). With a given matrix the loss is corrected from the first step on.
    Source: Patrini et al., CVPR 2017.

    Args:
        correction: "forward" or "backward".
        matrix: K rows of K numbers; row i has the probabilities of the given labels for true class
            i. "record" is the realised matrix of the noise record (oracle knowledge). "anchor" is
            an estimate.
        warmup_epochs: passes over the training data before the estimate, for "anchor".
        percentile: of :func:`estimate_from_anchors`, for "anchor".

    Raises:
        InputError: an unknown word or a number out of range. At the start of training: a matrix
            that is not K x K, not row-stochastic, or singular if its inverse is needed. At the end
            of the warm-up: a singular estimate if its inverse is needed.
    """

    state = ("matrix", "estimated_step")

    def __init__(
        self,
        correction: str = "forward",
        matrix: str | Sequence[Any] = "anchor",
        warmup_epochs: int = 5,
        percentile: float = 100.0,
    ) -> None:
        check_word("correction", correction, CORRECTIONS)
        super().__init__()
        self.correct = CORRECTIONS[correction]
        self.name = f"technique.{correction}_correction"
        self.invertible = correction == "backward"
        if isinstance(matrix, str) and matrix not in ("anchor", "record"):
            raise InputError(
                f"{self.name}.matrix must be anchor, record or K rows of K numbers, got {matrix!r}"
            )
        check_options_of(
            TransitionCorrection, f"{self.name}.",
            warmup_epochs=warmup_epochs, percentile=percentile,
        )  # fmt: skip
        self.given = matrix
        self.warmup_epochs = warmup_epochs
        self.percentile = percentile
        self.matrix: Tensor | None = None
        self.estimated_step: int | None = None

    def prepare(self, data: NoisyLabelDataModule) -> None:
        if self.given == "record":
            realised = data.noise_record.transition_matrix
            if realised is None:
                raise UnknownTruth(f"{self.name}.matrix=record", "transition matrix")
            self.matrix = self._checked(realised, data.num_classes)
        elif self.given != "anchor":
            self.matrix = self._checked(self._as_tensor(self.given), data.num_classes)

    def _as_tensor(self, rows: str | Sequence[Any]) -> Tensor:
        try:
            return torch.tensor([list(row) for row in rows], dtype=torch.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{self.name}.matrix must be anchor, record or K rows of K numbers, got {rows}"
            ) from error

    def _checked(self, matrix: Tensor, num_classes: int) -> Float[Tensor, "K K"]:
        return check_transition_matrix(
            matrix, num_classes, f"{self.name}.matrix", invertible=self.invertible
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.matrix is not None:
            self.matrix = self.matrix.to(pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        module = classifier_of(trainer)
        warmup = self.warmup_epochs * steps_per_pass(trainer)
        if self.is_new_step(trainer) and self.matrix is None and trainer.global_step >= warmup:
            data = data_of(trainer)
            probability = module.logits(data.train).double().softmax(1)
            matrix = from_rank_zero(estimate_from_anchors(probability, self.percentile))
            self.matrix = self._checked(matrix, data.num_classes).to(module.device)
            self.estimated_step = trainer.global_step
            log.info(
                "%s: estimated the transition matrix at step %d; its diagonal is %s",
                self.name.removeprefix("technique."),
                trainer.global_step,
                ", ".join(f"{value:.3f}" for value in matrix.diagonal().tolist()),
            )

    def sample_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        if self.matrix is None:
            return ce(logits, batch.label)
        return self.correct(logits, batch.label, self.matrix)

    def report(self) -> dict[str, Any]:
        """The matrix, null before the estimate, and the step of the estimate."""
        rows = None if self.matrix is None else self.matrix.tolist()
        return {
            "matrix": rows and [[round(value, 6) for value in row] for row in rows],
            "estimated_step": self.estimated_step,
        }

    def oracle_knowledge(self) -> list[str]:
        return ["transition matrix"] if self.given == "record" else []
