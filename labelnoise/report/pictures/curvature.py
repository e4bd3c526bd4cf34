"""Figures of the curvature of the training loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labelnoise.learner.history import History
from labelnoise.report.pictures.style import (
    ALL,
    OTHERS,
    SIGNAL,
    finish,
    legend,
    mark_steps,
    new_figure,
    plot_series,
    scale_steps,
)
from labelnoise.report.pictures.two_stages import ACCURACIES, BOUNDARIES, COEFFICIENTS, label_of
from labelnoise.run_directory import RunDirectory

TOP = "curvature/top_eigenvalue"
NORM, NORM_ERROR = "curvature/frobenius_norm", "curvature/frobenius_norm_error"
STABILITY = "curvature/sharpness_times_lr"


def draw_curvature(
    run: RunDirectory, history: History, summary: Mapping[str, Any]
) -> Figure | None:
    """The largest eigenvalue and the norm of the Hessian; None if not measured.

    Panels against the step: the eigenvalue, and the norm with a band of two standard errors; the
    eigenvalue divided by the largest stable one, if that is defined; gamma and rho if they were
    measured, else accuracies. Vertical lines are the steps of the stages.
    """
    if TOP not in history.names:
        return None
    has_limit = STABILITY in history.names
    figure = new_figure(5.2 * (2 + has_limit), 4.2)
    panels = list(figure.subplots(1, 2 + has_limit))
    plot_series(panels[0], history, TOP, color=SIGNAL, label=r"top eigenvalue $\lambda$")
    plot_series(panels[0], history, NORM, color=OTHERS[0], label=r"Frobenius norm $|H|_F$")
    _band(panels[0], history)
    _logarithmic_if_positive(panels[0], history, TOP)
    titles = ["Hessian of the training loss"]
    if has_limit:
        label = r"$\lambda$ / (largest stable $\lambda$)"
        plot_series(panels[1], history, STABILITY, color=SIGNAL, label=label)
        panels[1].axhline(1, color=ALL, lw=0.8)
        _logarithmic_if_positive(panels[1], history, STABILITY)
        titles.append("sharpness divided by its stable limit")
    titles.append(_draw_stages(panels[-1], history, summary))
    stages = {name: (summary["stages"][key], color) for key, name, color in BOUNDARIES}
    for panel, name in zip(panels, titles, strict=True):
        mark_steps(panel, stages)
        scale_steps(panel, history, TOP)
        finish(panel, "training step", title=name)
        legend(panel)
    return figure


def _draw_stages(axes: Axes, history: History, summary: Mapping[str, Any]) -> str:
    """Draw gamma and rho where they were measured, else accuracies; return the title."""
    measured = COEFFICIENTS[0].metric in history.names
    for curve in COEFFICIENTS if measured else ACCURACIES:
        label = label_of(curve, summary)
        plot_series(axes, history, curve.metric, color=curve.color, ls=curve.style, label=label)
    if measured:
        axes.set_yscale("log")
    return "signal learning and memorization" if measured else "accuracies"


def _band(axes: Axes, history: History) -> None:
    steps, norm = history.series(NORM)
    _, error = history.series(NORM_ERROR)
    shown = steps > 0
    low, high = (norm - 2 * error)[shown], (norm + 2 * error)[shown]
    axes.fill_between(steps[shown], low, high, color=OTHERS[0], alpha=0.25, lw=0)


def _logarithmic_if_positive(axes: Axes, history: History, metric: str) -> None:
    """Use a logarithmic axis, unless a value is not positive."""
    if (history.series(metric)[1] > 0).all():
        axes.set_yscale("log")
