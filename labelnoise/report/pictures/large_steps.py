"""The figure of the learning rate: stages, features and memorization against it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labelnoise.report.loaded import LoadedRun
from labelnoise.report.pictures.style import ALL, NOISY, SIGNAL, TEST, finish, legend, new_figure
from labelnoise.report.pictures.two_stages import BOUNDARIES
from labelnoise.report.tables.labels import labels_of_test, truth_known

ACTIVE = "features/active_share"


def draw_large_steps(runs: Sequence[LoadedRun]) -> Figure | None:
    """Against the learning rate: stage lengths, active units, and errors at the end.

    A dot is a run; lines join the means over the runs of one rate. A stage that was not reached has
    no dot and does not count in the mean. None if the runs have only one rate or no metrics of
    features.
    """
    by_rate: dict[float, list[LoadedRun]] = {}
    for run in runs:
        if ACTIVE not in run.history.names:
            return None
        by_rate.setdefault(float(run.config["optimizer"]["lr"]), []).append(run)
    if len(by_rate) < 2:
        return None
    figure = new_figure(14.0, 4.2)
    stages, features, errors = figure.subplots(1, 3)
    for key, name, color in BOUNDARIES:
        _draw(stages, by_rate, lambda run, key=key: run.summary["stages"][key], name, color)
    if stages.lines:  # empty if no run reached a stage
        stages.set_yscale("log")
    _draw(features, by_rate, _active_share, "last hidden layer", SIGNAL)
    features.set_ylim(bottom=0)  # so that a change of a few percent looks small
    test = labels_of_test(run.summary for run in runs)
    for metric, name, color, complement in (
        ("train/memorized_fraction", "noisy samples memorized", NOISY, False),
        ("test/acc", f"test error, {test} labels", TEST, True),
        ("train/acc_clean", "training error, clean samples", ALL, True),
    ):
        _draw(errors, by_rate, lambda r, m=metric, c=complement: _final(r, m, c), name, color)
    judged = any(truth_known(run.summary) for run in runs)
    for panel, ylabel, title in (
        (stages, "training step", "where the stages end"),
        (features, "share of active ReLU units", "sparsity of the features at the end"),
        (
            errors,
            "share of the samples",
            "memorization and error at the end" if judged else "error at the end",
        ),
    ):
        panel.set_xscale("log")
        finish(panel, "learning rate at the start", ylabel, title)
        legend(panel)
    return figure


def _active_share(run: LoadedRun) -> float:
    return float(run.history.series(ACTIVE)[1][-1])


def _final(run: LoadedRun, metric: str, complement: bool) -> float | None:
    value = run.summary["final"].get(metric)
    return None if value is None else 1 - value if complement else value


def _draw(
    axes: Axes, by_rate: dict[float, list[LoadedRun]], value_of: Any, label: str, color: str
) -> None:
    found = {
        rate: [value for run in runs if (value := value_of(run)) is not None]
        for rate, runs in sorted(by_rate.items())
    }
    dots = [(rate, value) for rate, values in found.items() for value in values]
    if dots:
        means = [(rate, fmean(values)) for rate, values in found.items() if values]
        axes.plot(*zip(*means, strict=True), color=color, lw=1.6, label=label)
        axes.plot(*zip(*dots, strict=True), "o", color=color, ms=4, alpha=0.6)
