"""Return to an early checkpoint now and then, before the wrong labels are memorized."""

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
from labelnoise.distributed import agreed
from labelnoise.errors import InputError
from labelnoise.learner.classifier import classifier_of
from labelnoise.measures.coefficients import (
    has_coefficients,
    require_coefficients,
    signal_and_noise,
)
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
# What the checkpoint is the best by: a validation metric, and its sign where less is better.
BEST_BY = {"val_loss": ("val/loss", 1.0), "val_acc": ("val/acc", -1.0)}


def is_reset(seed: int, step: int, r: float) -> bool:
    """Whether the network is reset after ``step``: True with probability ``r``.

    A function of seed and step, so that a resumed run and every process of a run draw alike, and
    that of two rates the larger resets at all the steps at which the smaller does.

    Example:
        >>> sum(is_reset(seed=0, step=step, r=0.1) for step in range(1000))
        107
    """
    return torch.rand((), generator=stream(seed, "reset", step)).item() < r


class StochasticReset(Technique):
    """Returns to the checkpoint after each step with probability r: weights, optimizer, rate.

    The checkpoint is the best network so far: of the lowest loss, or the highest accuracy, on noisy
    validation data or, with activation "stage", of the largest lead of max gamma over max rho;
    before any was measured, that of the step at which resets begin. Restored are parameters,
    buffers (batch norm's statistics), what the optimizer keeps (momentum, Adam's moments and count
    of steps), and the learning rate.

    Label noise adds to the gradient a part that points to the wrong labels, the latent gradient
    bias. Its effect grows with the steps taken since the checkpoint, and resets bound those: their
    number is geometric with mean 1/r. Full-batch descent is deterministic, so that after every
    reset it takes the same path again, never a new one; what the technique does there is to bound
    the excursion, and the network at the end is that of plain training a geometric number of steps
    after the checkpoint. With mini-batches each excursion is another one, and can find a better
    checkpoint.

    What stays at a reset: the data's order, ``sample_weight`` of a selection, targets that a loss
    keeps for each sample (as ELR does), which are no parameters of the network, and the schedule.
    torch's schedules multiply the rate that they find, so that with ``reset_learning_rate`` their
    coming factors act on the checkpoint's rate; a factor from between checkpoint and reset is
    undone. Without it the rate is the schedule's, whatever the resets.

    Logs at validations and at the ends of epochs, once active: ``reset/resets`` so far,
    ``reset/steps_since`` the last one (or since the activation), and ``reset/distance``, Euclidean,
    of the parameters from the checkpoint. Monitors due at the step of a reset have looked before.
    Source: arXiv 2406.00396. Our choices: ``stage``, ``auto`` and ``val_acc``, that resets stay
    active once they are, and that patterns are of buffers too.

    Args:
        r: the probability of a reset after each step, in [0, 1]; with 0 training is plain.
        activation: when resets begin. "threshold": ``threshold`` steps after the last new best
            validation; "at_once": with the first step; "stage": at the end of Stage I, where
            the lead of max gamma over max rho is past its peak, or where there is none since rho
            leads from the start (signal-noise data only); "auto": stage where the coefficients
            exist, else threshold. On signal-noise data the noisy validation loss can fall until
            most wrong labels are memorized, so it tells too late.
        threshold: optimizer steps without a new best validation.
        checkpoint_by: "val_loss", the paper's, or "val_acc", for losses that raise the validation
            cross-entropy long before the accuracy is at its best, as ELR's does; not used by
            "stage".
        adaptive: True: each network that is better than the checkpoint takes its place, also later;
            False: the checkpoint stays what it was when resets began.
        parameters: patterns of the names that go back, parameters as well as buffers, as
            ``["head.*"]`` for the latter layers; the optimizer's state of the others stays too.
            None is all.
        reset_learning_rate: restore the checkpoint's learning rate, of all parameters.
        check_every_n_steps, patience: for "stage": the interval at which the lead is looked at, and
            the checks in a row that have to lie below its peak, or below 0.
        seed: the resets are drawn from ``stream(seed, "reset", step)``.

    Raises:
        InputError: an unknown activation or a number out of range; when training starts, a pattern
            that matches nothing, or validation data or coefficients that are needed and not there.
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
                "technique.stochastic_reset.parameters must be a list of patterns, as ['head.*'], "
                f"or null for all parameters, got {parameters!r}"
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
                "technique=stochastic_reset watches noisy validation data, and there are no "
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
        """Whether resets begin with this step; for "stage", after a look at the coefficients."""
        step, waiting = trainer.global_step, self.active_step is None
        if self.activation == "stage" and step % self.check_every_n_steps == 0:
            signal, noise = signal_and_noise(trainer, classifier_of(trainer))
            self._compare(trainer, noise - signal)
            return any([d.update(step, signal, noise) for d in self.detectors]) and waiting
        if self.activation == "threshold" and self.checkpoint is not None:
            return waiting and step - self.checkpoint["step"] >= self.threshold
        return False

    def _compare(self, trainer: pl.Trainer, value: float) -> None:
        """Keep the network as it is now where ``value`` is the lowest so far."""
        if value < self.best and (self.adaptive or self.active_step is None):
            self.best = value
            self._keep(trainer)

    def _activate(self, trainer: pl.Trainer) -> None:
        self.active_step = trainer.global_step
        if self.checkpoint is None:
            self._keep(trainer)
        assert self.checkpoint is not None
        step = self.checkpoint["step"]
        log.info("stochastic_reset: active from step %d, to step %d", self.active_step, step)

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
                "stochastic_reset: never active in %d steps, so this was plain training: "
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
