"""The coefficients of signal learning and noise memorization, computed exactly in training."""

from __future__ import annotations

import pytorch_lightning as pl

from labelnoise.data.module import data_of
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.measures.coefficients import read_coefficients, read_residual, require_coefficients
from labelnoise.monitors.monitor import KeptArrays, Monitor
from labelnoise.run_directory import RunDirectory
from labelnoise.theory import coefficient_scalars


class CoefficientMonitor(KeptArrays, Monitor):
    """Logs ``coefficients/*`` and keeps the coefficients of every filter and sample.

    The scalars are those of :func:`labelnoise.theory.coefficient_scalars`. :meth:`save` writes the
    arrays ``steps`` (T,), ``gamma`` (T, K, m), ``rho_max`` and ``rho_sum`` (T, K, n), ``label``
    and ``clean_label`` (n,). ``rho_max`` and ``rho_sum`` are the maximum and the sum of
    rho[k, r, i] over the filters r.

    Args:
        every_n_steps: the interval; None: one epoch.

    Raises:
        InputError: at the start of training, if gamma and rho do not exist or are not unique.
    """

    records = ("coefficients",)

    def __init__(self, every_n_steps: int | None = 20) -> None:
        super().__init__(every_n_steps)
        self.steps, self.arrays = [], {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        require_coefficients(trainer, pl_module, "monitor=coefficients")
        self.train_split = data_of(trainer).train

    def observe(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> dict[str, float]:
        coefficients, split = read_coefficients(trainer, module), self.train_split
        gamma, rho = coefficients
        arrays = {"gamma": gamma, "rho_max": rho.amax(1), "rho_sum": rho.sum(1)}
        dtype = split.input.dtype
        self.keep(trainer.global_step, {name: value.to(dtype) for name, value in arrays.items()})
        scalars = coefficient_scalars(coefficients, split.label, split.is_noisy)
        scalars["residual"] = read_residual(trainer, module, coefficients)
        return {f"coefficients/{name}": value for name, value in scalars.items()}

    def save(self, run: RunDirectory) -> None:
        """Write the arrays to coefficients.npz."""
        split = self.train_split
        labels = {"label": split.label, "clean_label": split.clean_label}
        self.write(run.coefficients, {name: v.cpu().numpy() for name, v in labels.items()})
