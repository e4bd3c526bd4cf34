"""Reset the network to an early checkpoint at random steps, to limit memorization."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn

from labelnoise.checks import check_word
from labelnoise.config.ranges import check_options_of
from labelnoise.data.module import data_of
from labelnoise.errors import InputError
from labelnoise.learner.classifier import classifier_of
from labelnoise.measures.coefficients import (
    has_coefficients,
    require_coefficients,
    signal_and_noise,
)
from labelnoise.processes.distributed import agreed
from labelnoise.seeding import stream
from labelnoise.techniques.snapshots import (
    Snapshot,
    distance_to,
    names_matching,
    put_back,
    take_snapshot,
)
from labelnoise.techniques.technique import Technique
from labelnoise.theory import LeadPeakDetector, OvertakeDetector

log = logging.getLogger(__name__)

ACTIVATIONS = ("auto", "threshold", "at_once", "stage")
# The validation metric that chooses the checkpoint, and the sign that makes smaller better.
BEST_BY = {"val_loss": ("val/loss", 1.0), "val_acc": ("val/acc", -1.0)}


def is_reset(seed: int, step: int, r: float) -> bool:
    """Whether the network is reset after ``step``: True with probability ``r``.

    The draw depends only on seed and step, so a resumed run and all processes draw the same number.
    A larger r gives resets at all steps at which a smaller r gives resets.

    Example:
        >>> sum(is_reset(seed=0, step=step, r=0.1) for step in range(1000))
        107
    """
    return torch.rand((), generator=stream(seed, "reset", step)).item() < r


class StochasticReset(Technique):
    """Resets weights, optimizer and learning rate to a checkpoint with probability r at each step.

    The checkpoint is the best network so far: the network of the lowest noisy validation loss or of
    the highest noisy validation accuracy. With activation "stage" it is the network of the largest
    lead max gamma - max rho. If no network was measured before the resets begin, the checkpoint is
    the network of this step. A reset restores parameters, buffers (statistics of batch norm), the
    optimizer state (momentum, Adam's moments and step count) and the learning rate.

    Label noise adds to the gradient a part that points to the wrong labels, the latent gradient
    bias. The effect of this bias grows with the number of steps since the checkpoint. With resets
    this number has a geometric distribution with mean 1/r. Full-batch gradient descent is
    deterministic, so training follows the same path after every reset. The final network is then
    the network of plain training a geometric number of steps after the checkpoint. With
    mini-batches the paths differ and can reach a better checkpoint.

    A reset does not change the order of the data, the ``sample_weight`` of a selection, the
    per-sample targets of a loss (ELR), or the position of the schedule. The schedules of torch
    multiply the current learning rate. With ``reset_learning_rate`` their later factors therefore
    act on the learning rate of the checkpoint, and the factors between checkpoint and reset are
    undone. Without ``reset_learning_rate`` the learning rate is that of the schedule.

    Once resets are active, the technique logs at validations and at the ends of epochs:
    ``reset/resets`` (the number of resets), ``reset/steps_since`` (steps since the last reset, or
    since the activation), and ``reset/distance`` (Euclidean distance of the parameters from the
    checkpoint). At the step of a reset, monitors measure before the reset.
    Source: arXiv 2406.00396. Our choices: ``stage``, ``auto``, ``val_acc``, resets that stay active
    once they begin, and patterns that also match buffers.

    Args:
        r: the probability of a reset after each step, in [0, 1]; 0 is plain training.
        activation: when resets begin. "threshold": ``threshold`` steps after the last new best
            validation. "at_once": at the first step. "stage" (signal-noise data only): at the end
            of Stage I, when the lead max gamma - max rho is past its peak, or when max rho is above
            max gamma. "auto": "stage" if gamma and rho exist, else "threshold". On signal-noise
            data the noisy validation loss can fall until most wrong labels are memorized, so
            "threshold" would act too late.
        threshold: number of optimizer steps without a new best validation.
        checkpoint_by: "val_loss" as in the paper, or "val_acc". "val_acc" is for losses such as
            ELR, with which the validation cross-entropy rises long before the accuracy is best. The
            activation "stage" does not use this option.
        adaptive: True: a better network replaces the checkpoint at any time. False: the checkpoint
            is fixed when resets begin.
        parameters: patterns for the names of parameters and buffers to restore, for example
            ``["head.*"]``. The other parameters and buffers keep their values and their optimizer
            state. None: restore all.
        reset_learning_rate: also restore the learning rate of all parameters.
        check_every_n_steps, patience: for "stage": the interval of the checks, and the number of
            checks in a row with a lead below its peak, or below 0, after which resets begin.
        seed: the resets are drawn from ``stream(seed, "reset", step)``.

    Raises:
        InputError: an unknown activation or a number out of range. When training starts: a pattern
            matches no name, or validation data or gamma and rho are needed and do not exist.
    """

    role = "weights"
    state = ("detectors", "best", "checkpoint", "active_step", "reset_step", "resets")

    def __init__(
        self,
        r: float = 0.01,
        activation: str = "auto",
        threshold: int = 1000,
        checkpoint_by: str = "val_loss",
        adaptive: bool = True,
        parameters: Sequence[str] | None = None,
        reset_learning_rate: bool = True,
        check_every_n_steps: int = 10,
        patience: int = 2,
        seed: int = 0,
    ) -> None:
        prefix = "technique.stochastic_reset."
        check_word(f"{prefix}activation", activation, ACTIVATIONS)
        check_word(f"{prefix}checkpoint_by", checkpoint_by, BEST_BY)
        check_options_of(
            StochasticReset, prefix,
            r=r, threshold=threshold, check_every_n_steps=check_every_n_steps, patience=patience,
        )  # fmt: skip
        if parameters is not None and (isinstance(parameters, str) or not parameters):
            raise InputError(
                "technique.stochastic_reset.parameters must be a list of patterns, for example "
                f"['head.*'], or null for all parameters, got {parameters!r}"
            )
        self.r = r
        self.activation = activation
        self.threshold = threshold
        self.checkpoint_by = checkpoint_by
        self.adaptive = adaptive
        self.parameters = None if parameters is None else list(parameters)
        self.reset_learning_rate = reset_learning_rate
        self.check_every_n_steps = check_every_n_steps
        self.seed = seed
        self.detectors = LeadPeakDetector(patience), OvertakeDetector(patience)
        self.names: list[str] = []
        self.best = float("inf")
        self.checkpoint: Snapshot | None = None
        self.active_step: int | None = None
        self.reset_step: int | None = None
        self.resets = 0
        self.distance: float | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if self.activation == "auto":
            exists = has_coefficients(trainer, pl_module)
            self.activation = "stage" if exists else "threshold"
        if self.activation == "stage":
            require_coefficients(trainer, pl_module, "technique.stochastic_reset.activation=stage")
        module = classifier_of(trainer)
        try:
            self.names = names_matching(module.model, self.parameters)
        except InputError as error:
            raise InputError(f"technique.stochastic_reset.parameters: {error}") from None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        fixed = self.activation == "at_once" and not self.adaptive
        if data_of(trainer).val is None and self.activation != "stage" and not fixed:
            raise InputError(
                "technique=stochastic_reset reads noisy validation data, but there are no "
                "validation samples: raise data.val_fraction (images) or data.n_val "
                "(signal-noise), or write activation=at_once adaptive=false"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.activation == "at_once" and self.active_step is None:
            self._activate(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        if not self.is_new_step(trainer):
            return
        if self._is_time(trainer):
            self._activate(trainer)
        if self.active_step is not None and is_reset(self.seed, trainer.global_step, self.r):
            assert self.checkpoint is not None
            model, optimizer = classifier_of(trainer).model, trainer.optimizers[0]
            put_back(model, optimizer, self.checkpoint, self.reset_learning_rate)
            self.resets += 1
            self.reset_step = trainer.global_step

    def _is_time(self, trainer: pl.Trainer) -> bool:
        """Whether resets begin at this step; the activation "stage" checks gamma and rho here."""
        step, waiting = trainer.global_step, self.active_step is None
        if self.activation == "stage" and step % self.check_every_n_steps == 0:
            signal, noise = signal_and_noise(trainer, classifier_of(trainer))
            self._compare(trainer, noise - signal)
            return any([d.update(step, signal, noise) for d in self.detectors]) and waiting
        if self.activation == "threshold" and self.checkpoint is not None:
            return waiting and step - self.checkpoint["step"] >= self.threshold
        return False

    def _compare(self, trainer: pl.Trainer, value: float) -> None:
        """Make the current network the checkpoint if ``value`` is the lowest so far."""
        if value < self.best and (self.adaptive or self.active_step is None):
            self.best = value
            self._keep(trainer)

    def _activate(self, trainer: pl.Trainer) -> None:
        self.active_step = trainer.global_step
        if self.checkpoint is None:
            self._keep(trainer)
        assert self.checkpoint is not None
        step = self.checkpoint["step"]
        log.info(
            "stochastic_reset: resets begin at step %d, to the network of step %d",
            self.active_step,
            step,
        )

    def _keep(self, trainer: pl.Trainer) -> None:
        optimizer, step = trainer.optimizers[0], trainer.global_step
        self.checkpoint = take_snapshot(classifier_of(trainer).model, optimizer, self.names, step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        if self.activation != "stage":
            metric, sign = BEST_BY[self.checkpoint_by]
            (value,) = agreed(classifier_of(trainer).history.at(metric, trainer.global_step))
            self._compare(trainer, sign * value)
        self._record(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._record(trainer)

    def _record(self, trainer: pl.Trainer) -> None:
        if self.active_step is None:
            return
        assert self.checkpoint is not None
        module = classifier_of(trainer)
        self.distance = distance_to(module.model, self.checkpoint)
        since = self.active_step if self.reset_step is None else self.reset_step
        module.record(
            {
                "reset/resets": float(self.resets),
                "reset/steps_since": float(trainer.global_step - since),
                "reset/distance": self.distance,
            }
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.active_step is None:
            log.warning(
                "stochastic_reset: never active in %d steps, so the run was plain training: "
                "lower technique.stochastic_reset.threshold, or choose another activation",
                trainer.global_step,
            )

    def report(self) -> dict[str, Any]:
        return {
            "r": self.r,
            "activation": self.activation,
            "active_step": self.active_step,
            "resets": self.resets,
            "checkpoint_step": None if self.checkpoint is None else self.checkpoint["step"],
            "distance": self.distance,
        }
