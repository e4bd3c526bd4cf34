"""The table of the figures of a run; a figure is drawn if the run has its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from labelnoise.learner.history import History
from labelnoise.report.loaded import load_run, reading
from labelnoise.report.pictures.curvature import draw_curvature
from labelnoise.report.pictures.dynamics import draw_dynamics
from labelnoise.report.pictures.gradients import draw_gradients
from labelnoise.report.pictures.style import draw_all
from labelnoise.report.pictures.two_stages import Column, draw_two_stages, title
from labelnoise.run_directory import RunDirectory

Draw = Callable[[RunDirectory, History, Mapping[str, Any]], Figure | None]


def _two_stages(run: RunDirectory, history: History, summary: Mapping[str, Any]) -> Figure:
    return draw_two_stages([Column(history, dict(summary), title(dict(summary)))])


FIGURES: dict[str, Draw] = {
    "two_stages": _two_stages,
    "gradients": draw_gradients,
    "curvature": draw_curvature,
    "dynamics": draw_dynamics,
}


def report_figures(run: Path) -> str:
    """Draw the figures of a finished run again; returns their paths, one per line."""
    loaded = load_run(run)
    with reading(loaded.directory.path):
        paths = write_figures(loaded.directory, loaded.history, loaded.summary)
    return "\n".join(str(path) for path in paths.values())


def write_figures(
    run: RunDirectory, history: History, summary: Mapping[str, Any]
) -> dict[str, Path]:
    """Draw every figure with data into ``figures``; returns the paths by name."""
    return draw_all(run.figures, FIGURES, run, history, summary)
