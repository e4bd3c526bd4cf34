"""Predictions of the validation samples, averaged over the epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from labelnoise.data.module import data_of
from labelnoise.dynamics.ranking import auc
from labelnoise.errors import InputError
from labelnoise.files.writing import write_arrays
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.monitors.monitor import Monitor, described
from labelnoise.run_directory import RunDirectory


class HeldOutMonitor(Monitor):
    """Averages the predictions of the samples that the network does not train on.

    The network has not seen the labels of the validation samples, so it cannot have memorized them.
    The averages are written to ``held_out.npz`` in the run directory:

    ================  ============================================================================
    probability       (n, K) mean over the observations of softmax(logits)
    last_probability  (n, K) at the last observation
    label             (n,) the given labels; ``clean_label`` too if it is known
    source_index      (n,) positions in the published data set or file list
    name, class_names (n,) and (K,) words
    ================  ============================================================================

    The metric ``held_out/auc`` is the AUC of 1 - p(given label), with the mean probability so far,
    as a detector of noisy samples. It exists only if the true labels are known.

    Args:
        every_n_steps: the interval; None: one epoch.

    Raises:
        InputError: when training starts, data without a validation split.
    """

    records = ("held_out",)
    state = ("observations", "probability", "last_probability")

    def __init__(self, every_n_steps: int | None = None) -> None:
        super().__init__(every_n_steps)
        self.observations = 0
        self.probability: Tensor = torch.zeros(0)
        self.last_probability: Tensor = torch.zeros(0)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._data = data_of(trainer)
        if self._data.val is None:
            raise InputError(
                "monitor=held_out needs a validation split: write data.val_fraction above 0, or "
                "leave held_out out of monitor="
            )

    def observe(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> dict[str, float]:
        if trainer.global_step == 0:  # initial weights predict nothing
            return {}
        split = self._data.val
        assert split is not None
        step, validated = module.validated
        logits = validated if step == trainer.global_step else module.logits(split)
        logits = logits.double().cpu()
        label = split.label.cpu()
        self.last_probability = logits.softmax(1).float()
        if self.observations == 0:
            self.probability = torch.zeros_like(logits)
        self.observations += 1
        # Running means in float64, in a fixed order: a resumed run repeats them bit for bit.
        self.probability = self.probability + (logits.softmax(1) - self.probability) / (
            self.observations
        )
        if not split.truth_known:
            return {}
        given = self.probability.gather(1, label[:, None])[:, 0]
        noisy = split.is_noisy.cpu().numpy()
        value = auc(1 - given.numpy(), noisy)
        return {} if np.isnan(value) else {"held_out/auc": value}

    def save(self, run: RunDirectory) -> None:
        """Write ``held_out.npz``."""
        split = self._data.val
        if split is None or self.observations == 0:
            return
        arrays: dict[str, Any] = {
            "probability": self.probability.float().numpy(),
            "last_probability": self.last_probability.numpy(),
        }
        write_arrays(run.held_out, arrays | described(self._data, split))
