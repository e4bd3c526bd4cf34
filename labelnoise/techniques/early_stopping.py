"""Stop before the wrong labels are memorized, and keep an earlier network."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

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
from labelnoise.monitors import missing_monitor
from labelnoise.processes.distributed import agreed
from labelnoise.stoppers import STOPPERS, Detector
from labelnoise.techniques.technique import Technique

log = logging.getLogger(__name__)

TRIGGERS = ("auto", *STOPPERS)


class EarlyStopping(Technique):
    """Stops training by a rule of :data:`labelnoise.stoppers.STOPPERS` and keeps its network.

    The rule reads the values that monitors and validation record. It therefore stops at the step
    that the report card of the same run without this technique has as ``stop_NAME``. The trigger
    "coefficients" needs no monitor: it computes the coefficients of the samples in training itself.

    ============  ============================================================================
    val_loss      no better noisy validation loss for ``patience`` (10) validations
    val_acc       no better noisy validation accuracy for ``patience`` (10) validations
    coefficients  max rho above max gamma at ``patience`` (3) checks in a row; signal-noise data
                  only; arXiv 2505.18909, early stopping at the end of Stage I
    dominance     |g_clean| / |g_noise| below 1 at ``patience`` (2) observations in a row; needs
                  monitor=gradients and the true labels; arXiv 2306.02533
    label_wave    first local minimum of the averaged prediction changes, confirmed by
                  ``patience`` (1) averages; needs monitor=dynamics; arXiv 2502.07551, see
                  :class:`LabelWave`
    gmm_gap       first local maximum of the mean over 3 epochs of ``dynamics/gmm_gap``, the gap
                  between two groups of losses, confirmed by ``patience`` (1) means; needs
                  monitor=dynamics
    ============  ============================================================================

    The run keeps, tests and saves the network of the step that the rule names: the best validation,
    the first check of the streak, or the minimum. If training ends without a trigger, the rules
    that read validation metrics keep the network of the best validation. The other rules then keep
    the last network.

    Args:
        trigger: the name of a rule, or "auto": coefficients if they exist, else val_loss; val_acc
            if another technique trains on another loss than cross-entropy.
        patience: number of observations in a row that trigger the rule; None is its default.
        every_n_steps: interval of the coefficient checks.

    Raises:
        InputError: an unknown trigger or a number below 1. At the start of training: a trigger that
            the data do not allow, or metrics that no monitor records.
    """

    role = "stop"
    name: ClassVar[str] = "early_stop"
    state = ("detector", "snapshot", "stopped_step", "seen_step")

    def __init__(
        self, trigger: str = "auto", patience: int | None = None, every_n_steps: int = 10
    ) -> None:
        prefix = f"technique.{self.name}."
        check_word(f"{prefix}trigger", trigger, TRIGGERS)
        check_options_of(type(self), prefix, patience=patience, every_n_steps=every_n_steps)
        self.trigger = trigger
        self.every_n_steps = every_n_steps
        self.options: Mapping[str, int] = {} if patience is None else {"patience": patience}
        self.stopped_step: int | None = None
        self.selected_step: int | None = None
        self.reason: str | None = None
        self.snapshot: dict[str, Tensor] | None = None
        self.seen_step = -1
        self.detector: Detector | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if self.trigger == "auto":
            exists = has_coefficients(trainer, pl_module)
            self.trigger = "coefficients" if exists else _validation_rule(trainer)
        # In setup, because loading a checkpoint sets the state of the detector.
        self.detector = STOPPERS[self.trigger].detector(**self.options)
        if self.trigger == "coefficients":
            require_coefficients(trainer, pl_module, f"technique={self.name}")
            return
        monitor = missing_monitor(self.reads(), trainer.callbacks)  # type: ignore[attr-defined]
        if monitor is not None:
            raise InputError(
                f"technique={self.name} with trigger {self.trigger} reads "
                f"{', '.join(self.reads())}, but no monitor records it: write "
                f"monitor=[memorization,{monitor}]"
            )

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.trigger in ("val_loss", "val_acc") and data_of(trainer).val is None:
            raise InputError(
                f"technique={self.name} reads {self.trigger}, but there are no validation "
                "samples: raise data.val_fraction (images) or data.n_val (signal-noise)"
            )

    # Monitors run before techniques, so the history already has their values of this step.

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step == 0:  # a resumed run continues after the first reading
            self._read_history(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        if self.trigger != "coefficients":
            self._read_history(trainer)
        elif self.is_new_step(trainer) and trainer.global_step % self.every_n_steps == 0:
            self._update(trainer, *signal_and_noise(trainer, classifier_of(trainer)))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            self._read_history(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._read_history(trainer)

    def _read_history(self, trainer: pl.Trainer) -> None:
        """Give this step's row of the history to the rule, once the row is complete."""
        metrics = classifier_of(trainer).history.rows.get(trainer.global_step, {})
        values = STOPPERS[self.trigger].values(metrics)
        if values is not None and self.trigger != "coefficients":
            self._update(trainer, *agreed(*values))

    def _update(self, trainer: pl.Trainer, *values: float) -> None:
        step = trainer.global_step
        if self.stopped_step is not None or step <= self.seen_step:
            return
        self.seen_step = step
        assert self.detector is not None, "setup() comes first"
        triggered = self.detector.update(step, *values)
        if self.detector.candidate_step == step:
            state = classifier_of(trainer).state_dict()
            self.snapshot = {name: value.detach().clone() for name, value in state.items()}
        if triggered:
            self.stopped_step = step
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._read_history(trainer)  # monitors measure once more after the last step
        assert self.detector is not None
        keeps = self.stopped_step is not None or STOPPERS[self.trigger].keeps_best
        if keeps and self.snapshot is not None:
            pl_module.load_state_dict(self.snapshot)
            self.selected_step = self.detector.candidate_step
        else:
            self.selected_step = trainer.global_step
        self.reason = self._reason()
        log.info("%s: %s", self.name, self.reason)

    def _reason(self) -> str:
        if self.stopped_step is None:
            return f"never triggered; kept the network of step {self.selected_step}"
        return (
            f"{STOPPERS[self.trigger].event} at step {self.selected_step}, confirmed at step "
            f"{self.stopped_step}; kept the network of step {self.selected_step}"
        )

    def report(self) -> dict[str, Any]:
        return {
            "trigger": self.trigger,
            "reason": self.reason,
            "stopped_step": self.stopped_step,
            "selected_step": self.selected_step,
        }

    def reads(self) -> tuple[str, ...]:
        # The technique computes the coefficients itself.
        known = self.trigger in STOPPERS and self.trigger != "coefficients"
        return STOPPERS[self.trigger].names if known else ()

    def oracle_knowledge(self) -> list[str]:
        knows = STOPPERS[self.trigger].knows if self.trigger in STOPPERS else ""
        return [knows] if knows else []


def _validation_rule(trainer: pl.Trainer) -> str:
    classes = data_of(trainer).num_classes
    callbacks: Iterable[Any] = trainer.callbacks  # type: ignore[attr-defined]
    techniques = (c for c in callbacks if isinstance(c, Technique))
    return "val_loss" if all(t.trains_on_cross_entropy(classes) for t in techniques) else "val_acc"
