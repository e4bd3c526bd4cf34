"""Stop before the wrong labels are memorized, and keep the network from before."""

from __future__ import annotations

import logging
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from labelnoise.classifier import NoisyLabelClassifier
from labelnoise.coefficients import has_coefficients, require_coefficients, signal_and_noise
from labelnoise.data.module import data_of
from labelnoise.distributed import agreed
from labelnoise.errors import InputError
from labelnoise.stoppers import COEFFICIENT_PATIENCE, VAL_PATIENCE, PatienceDetector
from labelnoise.techniques.technique import Technique
from labelnoise.theory import OvertakeDetector

log = logging.getLogger(__name__)

TRIGGERS = ("auto", "coefficients", "val_loss")


class EarlyStopping(Technique):
    """Stops training when noise overtakes signal, or when the noisy validation loss turns.

    Trigger ``coefficients`` (signal-noise data) fires when max rho exceeds max gamma, the end of
    the window in which the theory's network predicts the true label of noisy samples too; the
    network kept is the one of the first check at which it was so. Trigger ``val_loss`` fires when
    the loss on noisy validation samples has not improved for ``patience`` validations; the network
    kept is the one with the lowest loss, also where training ends without a trigger. The network
    kept is the one that is tested and saved. True labels are used by neither.
    Source: arXiv 2505.18909, early stopping at the end of Stage I.

    Args:
        trigger: "coefficients", "val_loss", or "auto": coefficients where they exist.
        patience: checks in a row that have to agree; None is 3 checks of the coefficients, or 10
            validations.
        every_n_steps: interval of the coefficient checks.

    Raises:
        InputError: an unknown trigger, a number below 1, or at the start of training a trigger
            that the data do not allow.
    """

    role = "stop"

    def __init__(
        self, trigger: str = "auto", patience: int | None = None, every_n_steps: int = 10
    ) -> None:
        if trigger not in TRIGGERS:
            raise InputError(
                f"technique.early_stop.trigger must be one of {', '.join(TRIGGERS)}, "
                f"got {trigger!r}"
            )
        for name, value in (("patience", patience), ("every_n_steps", every_n_steps)):
            if value is not None and value < 1:
                raise InputError(f"technique.early_stop.{name} must be at least 1, got {value}")
        self.trigger = trigger
        self.patience = patience
        self.every_n_steps = every_n_steps
        self.stopped_step: int | None = None
        self.selected_step: int | None = None
        self.reason: str | None = None
        self.snapshot: dict[str, Tensor] | None = None
        self.detector: OvertakeDetector | PatienceDetector = self._detector()

    def _detector(self) -> OvertakeDetector | PatienceDetector:
        if self.trigger == "val_loss":
            return PatienceDetector(self.patience or VAL_PATIENCE)
        return OvertakeDetector(self.patience or COEFFICIENT_PATIENCE)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if self.trigger == "auto":
            exists = has_coefficients(trainer, pl_module)
            self.trigger = "coefficients" if exists else "val_loss"
            self.detector = self._detector()
        if self.trigger == "coefficients":
            require_coefficients(trainer, pl_module, "technique=early_stop")

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.trigger == "val_loss" and data_of(trainer).val is None:
            raise InputError(
                "technique=early_stop watches the noisy validation loss, and there are no "
                "validation samples: raise data.val_fraction (images) or data.n_val (signal-noise)"
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        due = self.is_new_step(trainer) and trainer.global_step % self.every_n_steps == 0
        if due and self.trigger == "coefficients":
            self._check(trainer, pl_module, *signal_and_noise(trainer, _classifier(pl_module)))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.trigger == "val_loss" and trainer.state.fn == TrainerFn.FITTING:
            self._check(trainer, pl_module, *agreed(trainer.callback_metrics["val/loss"].item()))

    def _check(self, trainer: pl.Trainer, module: pl.LightningModule, *values: float) -> None:
        if self.stopped_step is not None:
            return
        step = trainer.global_step
        triggered = self.detector.update(step, *values)
        if self.detector.candidate_step == step:
            self.snapshot = {
                name: value.detach().clone() for name, value in module.state_dict().items()
            }
        if triggered:
            self.stopped_step = step
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        keeps_best = self.stopped_step is not None or self.trigger == "val_loss"
        if keeps_best and self.snapshot is not None:
            pl_module.load_state_dict(self.snapshot)
            self.selected_step = self.detector.candidate_step
        else:
            self.selected_step = trainer.global_step
        self.reason = self._reason()
        log.info("early_stop: %s", self.reason)

    def _reason(self) -> str:
        what = {
            "coefficients": "noise memorization overtook signal learning (max rho > max gamma)",
            "val_loss": "the noisy validation loss stopped falling",
        }[self.trigger]
        if self.stopped_step is None:
            return f"never triggered; kept the network of step {self.selected_step}"
        return (
            f"{what} at step {self.selected_step}, confirmed at step {self.stopped_step}; "
            f"kept the network of step {self.selected_step}"
        )

    def report(self) -> dict[str, Any]:
        return {
            "trigger": self.trigger,
            "reason": self.reason,
            "stopped_step": self.stopped_step,
            "selected_step": self.selected_step,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "detector": self.detector.state_dict(),
            "snapshot": self.snapshot,
            "stopped_step": self.stopped_step,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.detector.load_state_dict(state_dict["detector"])
        self.snapshot = state_dict["snapshot"]
        self.stopped_step = state_dict["stopped_step"]


def _classifier(module: pl.LightningModule) -> NoisyLabelClassifier:
    assert isinstance(module, NoisyLabelClassifier)
    return module
