"""The figure of runs with and without stochastic resets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labelnoise.learner.history import History
from labelnoise.report.loaded import LoadedRun
from labelnoise.report.pictures.style import (
    ALL,
    OTHERS,
    SIGNAL,
    TEST,
    finish,
    new_figure,
)
from labelnoise.report.tables.labels import labels_of_test

# Colours of the rates in ascending order; plain training is grey.
_COLORS = (OTHERS[2], OTHERS[1], OTHERS[0], TEST, SIGNAL)
_ROWS = (
    ("train/wrong_corrected", "wrong labels corrected", False),
    ("train/wrong_memorized", "wrong labels memorized", False),
    ("test/acc", "test error, {test} labels", True),
)


def reset_rate(summary: Mapping[str, Any]) -> float | None:
    """r of a run: 0 for plain training, None for other techniques.

    Example:
        >>> reset_rate({"techniques": {}}), reset_rate({"techniques": {"early_stop": {}}})
        (0.0, None)
    """
    techniques = summary["techniques"]
    if not techniques:
        return 0.0
    return techniques["stochastic_reset"]["r"] if [*techniques] == ["stochastic_reset"] else None


def draw_resetting(settings: Mapping[str, Sequence[LoadedRun]]) -> Figure | None:
    """Wrong labels and test error against the step: a column per setting, a line per reset rate.

    Lines are means over seeds, and bands are ranges. Grey is plain training and r = 0. Shares are
    of all training samples. None if no run resets, or if a run has another technique. Rows that no
    run measured are left out, for example wrong labels if the true labels are unknown.

    Args:
        settings: the runs of all rates and seeds by the name of the setting.
    """
    rates = {reset_rate(run.summary) for runs in settings.values() for run in runs}
    shown = sorted(rate for rate in rates if rate is not None)
    if None in rates or not shown or shown[-1] == 0:
        return None
    above = [rate for rate in shown if rate > 0]
    color = {rate: _COLORS[i % len(_COLORS)] for i, rate in enumerate(above)} | {0.0: ALL}
    everyone = [run for members in settings.values() for run in members]
    measured = {name for run in everyone for name in run.history.names}
    rows = [row for row in _ROWS if row[0] in measured]
    if not rows:
        return None
    test = labels_of_test(run.summary for run in everyone)
    figure = new_figure(1.2 + 3.6 * len(settings), 7.6 * len(rows) / len(_ROWS))
    axes = figure.subplots(len(rows), len(settings), sharex="col", sharey="row", squeeze=False)
    for column, (name, members) in enumerate(settings.items()):
        for row, (metric, label, complement) in enumerate(rows):
            panel = axes[row, column]
            for rate in shown:
                runs = [run.history for run in members if reset_rate(run.summary) == rate]
                steps, values = _together(runs, metric)
                values = 1 - values if complement else values
                if len(steps):
                    panel.plot(steps, values.mean(0), color=color[rate], lw=1.4)
                    low, high = values.min(0), values.max(0)
                    panel.fill_between(steps, low, high, color=color[rate], alpha=0.15, lw=0)
            finish(
                panel,
                "training step" if row == len(rows) - 1 else "",
                label.format(test=test) if column == 0 else "",
                name if row == 0 else "",
            )
    handles = [
        axes[0, 0].plot([], [], color=color[rate], label=f"r = {rate:g}" if rate else "plain")[0]
        for rate in shown
    ]
    figure.legend(handles=handles, loc="outside lower center", ncol=len(handles), fontsize=9)
    return figure


def _together(runs: Sequence[History], metric: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Steps (T,) at which all runs measured a metric, and its values (runs, T)."""
    steps = [run.series(metric)[0] for run in runs]
    common = reduce(np.intersect1d, steps) if steps else np.zeros(0)
    values = [[run.at(metric, int(step)) for step in common] for run in runs]
    return common, np.array(values)
