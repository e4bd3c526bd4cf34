"""Pictures of any metric of many runs: learning curves, curves over an option, heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labelnoise.errors import InputError
from labelnoise.files.writing import replacing
from labelnoise.report.loaded import LoadedRun, load_runs
from labelnoise.report.pictures.style import CYCLE, finish, legend, many_decades, new_figure
from labelnoise.report.tables.runs import metric_of, runs_table
from labelnoise.report.tables.seeds import mean_curve
from labelnoise.report.tables.settings import (
    Settings,
    by_setting,
    named,
    settings_of,
    telling_keys,
    without_seeds,
)
from labelnoise.report.tables.statistics import Mean, mean_of

SUFFIXES = (".png", ".pdf", ".svg")
MOST_LINES = 12


def report_plot(
    folders: Sequence[Path], metric: str | None, against: Sequence[str], to: Path | None
) -> str:
    """Draw a metric of runs, with 95 % intervals over seeds.

    Args:
        folders: directories of runs and of sweeps.
        metric: a column of metrics.csv (learning curves), or a number of summary.json.
        against: without options, learning curves. One option: the number of summary.json against
            this option. Two options: a heat map of the mean.
        to: the file, .png, .pdf or .svg; None is figures/plot.png in the first folder.

    Raises:
        InputError: the runs lack the metric or the option, or the file cannot be written.
    """
    path = folders[0] / "figures" / "plot.png" if to is None else to
    if path.suffix not in SUFFIXES:
        raise InputError(f"--to {path} must end with one of {', '.join(SUFFIXES)}")
    runs = load_runs(folders)
    if len(against) > 2:
        raise InputError(f"--against takes at most two options, got {', '.join(against)}")
    if not against:
        figure = draw_learning_curves(runs, metric or "test/acc")
    else:
        table = runs_table(runs)
        [name] = metric_of(table, [] if metric is None else [metric])
        draw = draw_heat_map if len(against) == 2 else draw_against
        figure = draw(runs, table[name], *against)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=150)
    return str(path)


def draw_learning_curves(runs: Sequence[LoadedRun], metric: str) -> Figure:
    """The mean of a metric over the seeds of each setting, by step, with its 95 % interval.

    A curve has the steps at which all runs of the setting have measured the metric.

    Raises:
        InputError: no run has measured the metric, or there are too many settings.
    """
    names = sorted({name for run in runs for name in run.history.names})
    if metric not in names:
        raise InputError(f"no run has the metric {metric}, there are: {', '.join(names)}")
    groups = _few(by_setting(runs, lambda run: run.config))
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    for number, (setting, members) in enumerate(groups.items()):
        curve = mean_curve(members, metric)
        steps, means = np.asarray([*curve]), [*curve.values()]
        _draw_band(axes, steps, means, f"{setting} (n {len(members)})", number)
        if many_decades(steps):
            axes.set_xscale("log")
    finish(axes, "step", metric, "mean over seeds and 95 % interval")
    legend(axes)
    return figure


def draw_against(runs: Sequence[LoadedRun], values: pd.Series[float], option: str) -> Figure:
    """A number of the runs against an option: the mean over seeds, with its 95 % interval.

    Each combination of the other options is a line. If the values of the option are
    words, the axis has words.

    Raises:
        InputError: no run has the option, or there are too many lines.
    """
    found = [settings_of(run.config) for run in runs]
    table = by_options(found, values, [option])
    numeric = all(isinstance(x, int | float) and not isinstance(x, bool) for x in table[option])
    places = {x: x if numeric else i for i, x in enumerate(dict.fromkeys(table[option]))}
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    lines = _few(dict(list(table.groupby("line", sort=False))))
    for i, (line, members) in enumerate(lines.items()):
        groups = members.groupby(option)["value"]
        points = sorted((places[x], mean_of(group)) for x, group in groups)
        x = np.asarray([place for place, _ in points], dtype=float)
        means = [mean for _, mean in points]
        label = f"{line} (n {min(mean.n for mean in means)})"
        if numeric:
            _draw_band(axes, x, means, label, i)
        else:  # side by side, without a line between words
            _draw_points(axes, x + 0.5 * ((i + 0.5) / len(lines) - 0.5), means, label, i)
    if not numeric:
        axes.set_xticks(list(places.values()), list(map(str, places)))
    elif min(places) > 0 and many_decades(np.asarray(list(places), dtype=float)):
        axes.set_xscale("log")
    finish(axes, option, str(values.name), "mean over seeds and 95 % interval")
    legend(axes)
    return figure


def draw_heat_map(
    runs: Sequence[LoadedRun], values: pd.Series[float], across: str, down: str
) -> Figure:
    """The mean over seeds of a number, for each pair of values of two options.

    Raises:
        InputError: no run has an option, or the runs also differ in another option.
    """
    found = [settings_of(run.config) for run in runs]
    table = by_options(found, values, [across, down])
    if (lines := table["line"].unique()).size > 1:
        raise InputError(
            f"the runs also differ in {' and in '.join(map(str, lines[:2]))}: a heat map needs "
            f"runs that differ only in {across}, {down} and the seed"
        )
    means = table.pivot_table("value", index=down, columns=across, aggfunc="mean")
    counts = table.pivot_table("value", index=down, columns=across, aggfunc="count")
    figure = new_figure(1.6 + 0.9 * max(4, means.shape[1]), 1.4 + 0.6 * max(3, means.shape[0]))
    axes = figure.add_subplot()
    image = axes.imshow(means.to_numpy(dtype=float), cmap="cividis", aspect="auto", origin="lower")
    axes.set_xticks(range(means.shape[1]), list(map(str, means.columns)))
    axes.set_yticks(range(means.shape[0]), list(map(str, means.index)))
    middle = float(np.nanmean([np.nanmin(means), np.nanmax(means)]))
    for (row, column), mean in np.ndenumerate(means.to_numpy(dtype=float)):
        if not np.isnan(mean):
            colour = "white" if mean < middle else "black"
            axes.text(column, row, f"{mean:.3g}", ha="center", va="center", color=colour)
    figure.colorbar(image, ax=axes, label=str(values.name))
    least, most = int(np.nanmin(counts)), int(np.nanmax(counts))
    n = f"{least}" if least == most else f"{least} to {most}"
    finish(axes, across, down, f"mean over {n} runs in each cell")
    axes.grid(False)
    return figure


def by_options(
    found: Sequence[Settings], values: pd.Series[float], options: Sequence[str]
) -> pd.DataFrame:
    """A row for each run: its value, the given options, and the other options as text (``line``).

    ``line`` has no options that the given options determine, such as ``noise.rate``, which
    ``noise_rate`` determines.
    """
    for option in options:
        if not any(option in settings for settings in found):
            there = ", ".join(telling_keys(found))
            raise InputError(
                f"no run has the option {option}, the runs differ in: {there or 'nothing'}"
            )
    given = [tuple(settings.get(option) for option in options) for settings in found]
    others = [
        {k: v for k, v in settings.items() if not _follows(k, found, given)}
        for settings in without_seeds(found)
    ]
    keys = telling_keys(others)
    lines = [named(settings, keys) for settings in others]
    table = pd.DataFrame(given, columns=list(options))
    return table.assign(line=lines, value=values.to_list())


def _follows(key: str, found: Sequence[Settings], given: Sequence[tuple[Any, ...]]) -> bool:
    """Whether the given options determine the option ``key`` in all runs."""
    seen: dict[tuple[Any, ...], str] = {}
    return all(
        seen.setdefault(values, str(settings.get(key))) == str(settings.get(key))
        for settings, values in zip(found, given, strict=True)
    )


def _few(groups: dict[Any, Any]) -> dict[Any, Any]:
    if len(groups) > MOST_LINES:
        raise InputError(
            f"the runs have {len(groups)} settings, a figure shows at most {MOST_LINES}: "
            "give fewer folders, or an option with --against"
        )
    return groups


def _draw_band(axes: Axes, x: NDArray[Any], means: Sequence[Mean], label: str, number: int) -> None:
    """A line with its interval as a band; dashes keep two equal lines visible."""
    colour, dashes = CYCLE[number % len(CYCLE)], ("-", "--", "-.")[number % 3]
    axes.plot(x, [m.mean for m in means], dashes, color=colour, label=label, marker="o", ms=3)
    low, high = [m.low for m in means], [m.high for m in means]
    axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)


def _draw_points(
    axes: Axes, x: NDArray[Any], means: Sequence[Mean], label: str, number: int
) -> None:
    """Points with their intervals as bars."""
    colour = CYCLE[number % len(CYCLE)]
    half = [0.0 if np.isnan(m.low) else m.high - m.mean for m in means]
    axes.errorbar(x, [m.mean for m in means], half, fmt="o", color=colour, label=label, capsize=3)
