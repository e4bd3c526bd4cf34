"""Colours and functions that all figures share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labelnoise.files.writing import replacing
from labelnoise.learner.history import History

# The colours of Okabe and Ito, which readers with any colour vision can distinguish.
SIGNAL, CLEAN, NOISY, TEST, ALL = "#000000", "#0072B2", "#D55E00", "#009E73", "#888888"
OTHERS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000")
# The colours of settings, which are not clean or noisy samples.
CYCLE = (*OTHERS, TEST, CLEAN, NOISY, ALL, "#F0E442", "#882255", "#44AA99", "#999933")


def new_figure(width: float, height: float) -> Figure:
    """A figure for files, without a window system."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, completely or not at all."""
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=150)


def draw_all(
    folder: Path, figures: Mapping[str, Callable[..., Figure | None]], *data: Any
) -> dict[str, Path]:
    """Draw each figure that has data into ``folder``; returns the paths by name."""
    folder.mkdir(exist_ok=True)
    paths = {}
    for name, draw in figures.items():
        figure = draw(*data)
        if figure is not None:
            paths[name] = folder / f"{name}.png"
            save_figure(figure, paths[name])
    return paths


def plot_series(
    axes: Axes, history: History, metric: str, *, complement: bool = False, **style: Any
) -> None:
    """Plot a metric against the step, without step 0; 1 - metric with ``complement``."""
    steps, values = history.series(metric)
    shown = (steps > 0) & ~np.isnan(values)  # a logarithmic axis cannot show step 0
    if shown.any():
        y = 1 - values[shown] if complement else values[shown]
        axes.plot(steps[shown], y, lw=style.pop("lw", 1.6), **style)


def many_decades(steps: NDArray[Any]) -> bool:
    """Whether steps span at least a factor of 100, so that they need a logarithmic axis."""
    shown = steps[steps > 0]
    return len(shown) > 1 and bool(shown.max() >= 100 * shown.min())


def scale_steps(axes: Axes, history: History, metric: str) -> None:
    """Use a logarithmic step axis if the steps of ``metric`` span many decades."""
    if many_decades(history.series(metric)[0]):
        axes.set_xscale("log")


def finish(axes: Axes, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Add a grid, axis labels and a title."""
    axes.grid(alpha=0.25, lw=0.6)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if title:
        axes.set_title(title, fontsize=10)


def legend(axes: Axes) -> None:
    """Add a legend if there are curves."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7.5, framealpha=0.85)


def mark_steps(axes: Axes, marks: Mapping[str, tuple[int | None, str]]) -> None:
    """Add a dotted vertical line for every known step, with an entry in the legend."""
    for name, (step, color) in marks.items():
        if step:
            axes.axvline(step, color=color, lw=1.1, ls=":", label=f"{name}, step {step}")
