"""Figures of the per-sample log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labelnoise.learner.history import History
from labelnoise.report.loaded import LoadedDynamics, read_dynamics
from labelnoise.report.pictures.style import (
    ALL,
    CLEAN,
    NOISY,
    OTHERS,
    SIGNAL,
    TEST,
    finish,
    legend,
    new_figure,
    plot_series,
)
from labelnoise.run_directory import RunDirectory

# Largest number of points in a data map; more would overlap.
MOST_POINTS = 4000
AUC_COLORS = {
    "loss": NOISY,
    "margin_loss": OTHERS[3],
    "aum": CLEAN,
    "wrong_events": TEST,
    "low_confidence": SIGNAL,
    "forgetting_events": OTHERS[0],
    "variability": OTHERS[1],
    "prediction_changes": OTHERS[2],
}


def draw_dynamics(run: RunDirectory, history: History, summary: Mapping[str, Any]) -> Figure | None:
    """Eight panels of the per-sample log; None if there is none.

    Above: the AUC of each score as a detector of noisy samples, the number of changed predictions,
    and the losses at the epoch of best test accuracy and at the last epoch. Below: the data map,
    and the distributions of AUM, wrong events and forgetting events. Clean and noisy samples have
    different colours. If they are unknown or all labels are right, all samples are grey. The first
    panel is left out if the true labels are unknown.
    """
    if not (run.dynamics / "samples.npz").is_file():
        return None
    dynamics = read_dynamics(run)
    if len(dynamics.log) == 0:
        return None
    groups = _groups(dynamics)
    scores = dynamics.scores
    figure = new_figure(15.5, 7.0)
    axes = figure.subplots(2, 4)
    found, changes, first, last = axes[0]
    if dynamics.truth_known:
        _draw_aucs(found, history)
    else:
        found.remove()
    plot_series(changes, history, "dynamics/prediction_changes", color=SIGNAL)
    finish(changes, "training step", "samples", "predictions changed since the previous epoch")
    for panel, row in ((first, _early(dynamics.log.step, summary)), (last, len(dynamics.log) - 1)):
        _histogram(panel, np.log10(np.maximum(dynamics.log[row].loss, 1e-6)), groups)
        step = int(dynamics.log.step[row])
        finish(panel, "log10 of the loss", "samples", f"losses at step {step:,}")
    _data_map(axes[1, 0], scores.variability, scores.confidence, groups)
    by_name = scores.scores()
    for panel, values, xlabel, title in (
        (axes[1, 1], -by_name["aum"], "mean margin", "area under the margin (AUM)"),
        (axes[1, 2], by_name["wrong_events"], "epochs", "wrong events"),
        (
            axes[1, 3],
            by_name["forgetting_events"],
            "events",
            "forgetting events (never right: all epochs)",
        ),
    ):
        _histogram(panel, values, groups)
        finish(panel, xlabel, "samples", title)
    return figure


Groups = list[tuple[str, str, NDArray[np.bool_]]]


def _groups(dynamics: LoadedDynamics) -> Groups:
    if not dynamics.truth_known or not dynamics.is_noisy.any():
        return [("all samples", ALL, np.ones(len(dynamics.label), dtype=np.bool_))]
    is_noisy = dynamics.is_noisy
    return [("clean samples", CLEAN, ~is_noisy), ("noisy samples", NOISY, is_noisy)]


def _draw_aucs(axes: Axes, history: History) -> None:
    for name, color in AUC_COLORS.items():
        label = name.replace("_", " ")
        plot_series(axes, history, f"dynamics/auc_{name}", color=color, label=label)
    legend(axes)
    axes.set_ylim(0, 1.02)
    finish(axes, "training step", "AUC", "finding noisy labels by each score")


def _early(steps: NDArray[np.int64], summary: Mapping[str, Any]) -> int:
    """The row nearest to the best test accuracy, where clean and noisy losses differ most."""
    best = summary["report_card"]["oracle_best"]
    return int(np.abs(steps - (best["step"] if best else steps[0])).argmin())


def _histogram(axes: Axes, values: NDArray[Any], groups: Groups) -> None:
    shown = np.isfinite(values)  # none in a run that diverged
    low, high = (float(values[shown].min()), float(values[shown].max())) if shown.any() else (0, 1)
    bins = np.linspace(low, high if high > low else low + 1, 41).tolist()
    for name, color, member in groups:
        axes.hist(values[member & shown], bins=bins, color=color, alpha=0.6, label=name)
    legend(axes)


def _data_map(axes: Axes, x: NDArray[Any], y: NDArray[Any], groups: Groups) -> None:
    drawn = np.random.default_rng(0).permutation(len(x))[:MOST_POINTS]
    for name, color, member in groups:
        chosen = drawn[member[drawn]]
        axes.scatter(x[chosen], y[chosen], s=4, color=color, alpha=0.5, lw=0, label=name)
    legend(axes)
    finish(axes, "variability: std of p(given label)", "confidence: its mean", "data map")
