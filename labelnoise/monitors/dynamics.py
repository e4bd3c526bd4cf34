"""Loss, probability, margin and prediction of every training sample in every epoch."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl

from labelnoise.data.batch import Batch
from labelnoise.data.module import data_of, steps_per_epoch
from labelnoise.dynamics.log import DynamicsLog
from labelnoise.dynamics.measurements import Measurements, as_kept, measure
from labelnoise.dynamics.mixture import gmm_gap
from labelnoise.dynamics.recorder import EpochRecorder
from labelnoise.dynamics.scores import RunningScores
from labelnoise.files.writing import write_arrays
from labelnoise.learner.classifier import NoisyLabelClassifier, classifier_of
from labelnoise.monitors.monitor import Monitor, described
from labelnoise.run_directory import RunDirectory

log = logging.getLogger(__name__)


class DynamicsMonitor(Monitor):
    """Keeps the :class:`labelnoise.dynamics.measurements.Measurements` of all training samples.

    A row per epoch is written to the folder ``dynamics`` of the run directory
    (:class:`labelnoise.dynamics.log.DynamicsLog`). The logged metrics are:

    - ``dynamics/prediction_changes``: the number of training samples with another predicted class
      than in the previous row (Label Wave, arXiv 2502.07551).
    - ``dynamics/gmm_gap``: the distance of the means of two Gaussians fitted to the losses of the
      row (:func:`labelnoise.dynamics.mixture.gmm_gap`).
    - ``dynamics/auc_NAME``, if the true labels are known: the AUC of each score of
      :class:`labelnoise.dynamics.scores.RunningScores` as a detector of noisy samples.

    By default the values come from the training pass: the logits of a sample at its training step,
    before the update, with augmentation and dropout. AUM and forgetting events are defined like
    this, and it costs almost nothing. If a technique mixes samples, the training pass has no logits
    of single samples, and the extra pass is made.

    Args:
        every_n_steps: None: one row per epoch. A number: measure the whole training set in
            evaluation mode at this interval.
        extra_pass: measure all samples at the end of each epoch in an extra pass in evaluation
            mode.
    """

    records = ("dynamics",)

    def __init__(self, every_n_steps: int | None = None, extra_pass: bool = False) -> None:
        super().__init__(every_n_steps)
        self.from_training = every_n_steps is None and not extra_pass
        self._recorder = EpochRecorder()
        self._log: DynamicsLog | None = None
        self._checksums: dict[str, Any] = {}  # of a resumed run's rows

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Not in on_fit_start: reading the number of batches creates the loader, and a resumed run
        # has to restore its position first.
        module = classifier_of(trainer)
        if self.from_training and not module.trains_on_samples:
            log.info("dynamics: training mixes samples, so they are measured in an extra pass")
            self.from_training = False
        self._data = data_of(trainer)
        self._split = self._data.train
        known = self._split.truth_known
        self._is_noisy = self._split.is_noisy.cpu().numpy() if known else None
        self._scores = RunningScores(self._split.label.cpu().numpy())
        path = RunDirectory(trainer.default_root_dir).dynamics
        if trainer.is_global_zero:
            n, rows, kept = len(self._split), self._most_rows(trainer), self._checksums
            self._log = DynamicsLog.open(path, n, rows, self.last_step, **kept)
        trainer.strategy.barrier("dynamics")
        if self.last_step >= 0:
            for row in self._log or DynamicsLog(path):
                self._scores.update(row)
        self._recorder.begin(len(self._split), module.device)
        if not self.from_training:  # before training there is no training pass
            super().on_train_start(trainer, module)

    def _most_rows(self, trainer: pl.Trainer) -> int:
        steps = trainer.estimated_stepping_batches
        if self.every_n_steps is not None:
            return math.ceil(steps / self.every_n_steps) + self.every_n_steps.bit_length() + 2
        return math.ceil(steps / steps_per_epoch(trainer)) + 1

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        if self.from_training and isinstance(outputs, Mapping):
            self._recorder.add(batch.index, outputs["logits"], batch.label)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self.from_training:  # an incomplete training pass makes no row
            super().on_train_end(trainer, pl_module)

    def observe(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> dict[str, float]:
        if self.from_training:
            measured = self._finish_row()
        else:
            measured = measure(module.logits(self._split), self._split.label)
        if measured is None:
            return {}
        kept = as_kept(measured)
        if self._log is not None:
            self._log.append(trainer.global_step, kept)
        self._scores.update(kept)
        aucs = {} if self._is_noisy is None else self._scores.aucs(self._is_noisy)
        metrics = {f"dynamics/auc_{name}": value for name, value in aucs.items()}
        metrics["dynamics/gmm_gap"] = gmm_gap(np.asarray(kept.loss))
        if self._scores.epochs > 1:
            metrics["dynamics/prediction_changes"] = float(self._scores.changed)
        return metrics

    def _finish_row(self) -> Measurements | None:
        row = self._recorder.finish()
        if row is None:
            unseen = self._recorder.unseen
            log.warning("dynamics: %d samples were not in this epoch, so it has no row", unseen)
        return row

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if self._log is not None:
            self._log.release()

    def save(self, run: RunDirectory) -> None:
        """Close the log and describe its columns in ``samples.npz``."""
        if self._log is None:
            return
        self._log.close()
        write_arrays(run.dynamics / "samples.npz", described(self._data, self._split))

    def state_dict(self) -> dict[str, Any]:
        kept = {} if self._log is None else {"checksums": dict(self._log.checksums)}
        return {**super().state_dict(), "row": self._recorder.row, "log": kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._recorder.row = state_dict["row"]
        self._checksums = state_dict["log"]
