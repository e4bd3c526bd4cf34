"""The table of the figures of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from labelnoise.report.loaded import LoadedRun
from labelnoise.report.pictures.gradients import draw_clean_priority
from labelnoise.report.pictures.large_steps import draw_large_steps
from labelnoise.report.pictures.resetting import draw_resetting
from labelnoise.report.pictures.stoppers import draw_stoppers
from labelnoise.report.pictures.style import draw_all
from labelnoise.report.pictures.two_stages import Column, draw_two_stages, title
from labelnoise.report.tables.settings import by_setting

MOST_COLUMNS = 4


def _two_stages(runs: Sequence[LoadedRun]) -> Figure | None:
    if len(runs) > MOST_COLUMNS:
        return None
    return draw_two_stages([Column(run.history, run.summary, title(run.summary)) for run in runs])


def _by_setting(runs: Sequence[LoadedRun], *compared: str) -> dict[str, list[LoadedRun]]:
    return by_setting(runs, lambda run: run.config, compared)


# A function returns None if the runs lack the data of its figure.
SWEEP_FIGURES: dict[str, Callable[[Sequence[LoadedRun]], Figure | None]] = {
    "two_stages": _two_stages,
    "clean_priority": lambda runs: draw_clean_priority(_by_setting(runs)),
    "stoppers": lambda runs: draw_stoppers(_by_setting(runs)),
    "resetting": lambda runs: draw_resetting(_by_setting(runs, "technique")),
    "large_steps": draw_large_steps,
}


def write_sweep_figures(directory: Path, runs: Sequence[LoadedRun]) -> None:
    """Draw every figure that the runs of a sweep have data for."""
    draw_all(directory, SWEEP_FIGURES, runs)
