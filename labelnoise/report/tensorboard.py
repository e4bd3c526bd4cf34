"""What a run shows in TensorBoard beside its scalars: charts, figures and final metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from labelnoise.config import run_config
from labelnoise.report.figures import ACCURACIES, COEFFICIENTS, ERRORS

LAYOUT = {
    "two stages": {
        "signal learning against noise memorization": [
            "Multiline",
            [curve.metric for curve in COEFFICIENTS],
        ],
        "accuracy on all, clean and noisy samples": [
            "Multiline",
            [curve.metric for curve in ACCURACIES],
        ],
        "held-out accuracy": ["Multiline", [curve.metric for curve in ERRORS]],
    }
}


def add_layout(logger: Logger) -> None:
    """Lay out the custom-scalars page: gamma against rho_bar, and the accuracies."""
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_custom_scalars(LAYOUT)


def add_results(
    logger: Logger, cfg: DictConfig, summary: Mapping[str, Any], figures: Mapping[str, Figure]
) -> None:
    """Add the figures and, on the HPARAMS page, the run's settings with its final metrics."""
    if not isinstance(logger, TensorBoardLogger):
        return
    for name, figure in figures.items():
        logger.experiment.add_figure(name, figure, global_step=summary["step"])
    metrics = {f"final/{k}": v for k, v in summary["final"].items()}
    metrics |= {f"stages/{k}": v for k, v in summary["stages"].items()}
    known = {name: value for name, value in metrics.items() if value is not None}
    logger.log_hyperparams(_settings(cfg), known)


def _settings(cfg: DictConfig) -> dict[str, Any]:
    """Scalars that tell runs apart; a name for each part instead of its class path."""
    config = run_config(cfg)
    top = {k: v for k, v in config.items() if not isinstance(v, dict) and v is not None}
    return {
        **top,
        "data": config["data"]["_target_"].rpartition(".")[2],
        "model": config["model"]["_target_"].rpartition(".")[2],
        "optimizer": config["optimizer"]["_target_"].rpartition(".")[2],
        "lr": config["optimizer"]["lr"],
        "noise": config["noise"]["_target_"].rpartition(".")[2],
        "technique": "+".join(config["technique"]) or "none",
    }
