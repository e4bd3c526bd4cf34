"""Charts, figures and final metrics of a run in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from PIL import Image
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from labelnoise.config.composition import run_config
from labelnoise.report.pictures.two_stages import ACCURACIES, COEFFICIENTS, ERRORS
from labelnoise.report.tables.settings import settings_of

CHARTS = {
    "signal learning against noise memorization": [curve.metric for curve in COEFFICIENTS],
    "accuracy on all, clean and noisy samples": [curve.metric for curve in ACCURACIES],
    "held-out accuracy": [curve.metric for curve in ERRORS],
}
# If the true labels are unknown.
CHARTS_AS_GIVEN = {
    "accuracy": ["train/acc", "test/acc"],
    "held-out accuracy": CHARTS["held-out accuracy"],
}


def add_layout(logger: Logger, truth_known: bool = True, has_test: bool = True) -> None:
    """Set the layout of the custom-scalars page: gamma and rho_bar, and the accuracies."""
    if isinstance(logger, TensorBoardLogger):
        charts = CHARTS if truth_known else CHARTS_AS_GIVEN
        layout = {
            title: ["Multiline", [m for m in metrics if has_test or not m.startswith("test/")]]
            for title, metrics in charts.items()
        }
        logger.experiment.add_custom_scalars({"two stages" if truth_known else "run": layout})


def add_results(
    logger: Logger, cfg: DictConfig, summary: Mapping[str, Any], figures: Mapping[str, Path]
) -> None:
    """Add the figures and, on the HPARAMS page, the settings and the final metrics."""
    if not isinstance(logger, TensorBoardLogger):
        return
    for name, path in figures.items():
        with Image.open(path) as opened:  # add_figure would draw it again
            pixels = np.asarray(opened.convert("RGB"))
        logger.experiment.add_image(name, pixels, summary["step"], dataformats="HWC")
    metrics = {f"final/{k}": v for k, v in summary["final"].items()}
    metrics |= {f"stages/{k}": v for k, v in summary["stages"].items()}
    known = {name: value for name, value in metrics.items() if value is not None}
    # All choices and options, because a run does not know which of them a sweep compares.
    logger.log_hyperparams(settings_of(run_config(cfg)), known)
