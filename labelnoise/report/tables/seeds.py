"""Tables over seeds: mean, standard deviation, number of runs and 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from labelnoise.checks import check_word
from labelnoise.files.tables import text_of_columns
from labelnoise.report.loaded import LoadedRun, load_runs
from labelnoise.report.tables.runs import metric_of, runs_table
from labelnoise.report.tables.settings import by_setting
from labelnoise.report.tables.statistics import Mean, mean_of

FORMATS = ("markdown", "latex", "csv")
Format = Literal["markdown", "latex", "csv"]


def report_table(folders: Sequence[Path], metric: Sequence[str], format: Format) -> str:
    """A table with a row for each setting: the means over its seeds.

    Args:
        folders: directories of runs and of sweeps.
        metric: dotted names of numbers in summary.json; empty: the accuracy of the network kept.
        format: with markdown and latex a cell has ``mean ± half of the interval (sd, n)``; csv has
            a row for each setting and metric.

    Raises:
        InputError: a folder has no finished run, or no run has a metric of this name.
    """
    check_word("--format", format, FORMATS)
    runs = load_runs(folders)
    table = runs_table(runs)
    names = metric_of(table, metric)
    rows = [
        {"setting": setting, "metric": name, **mean_of(values)._asdict()}
        for setting, members in by_setting(runs, lambda run: run.config).items()
        for name in names
        for values in [table.loc[[str(run.directory.path) for run in members], name]]
    ]
    long = pd.DataFrame(rows)
    if format == "csv":
        return text_of_columns({str(name): long[name].to_list() for name in long}).rstrip()
    long["cell"] = [in_words(Mean(*row[2:])) for row in long.itertuples(index=False)]
    wide = long.pivot(index="setting", columns="metric", values="cell")
    wide = wide.loc[list(dict.fromkeys(long["setting"])), names].reset_index()
    return as_text(wide, format)


def mean_curve(members: Sequence[LoadedRun], metric: str) -> dict[int, Mean]:
    """The mean of a metric over runs by step, at the steps at which all runs have measured it."""
    series = [dict(zip(*run.history.series(metric), strict=True)) for run in members]
    steps = sorted(int(step) for step in set.intersection(*map(set, series)) if step > 0)
    return {step: mean_of([one[step] for one in series]) for step in steps}


def in_words(mean: Mean) -> str:
    """The text of a mean: ``0.812 ± 0.010 (sd 0.004, n 3)``; for one run the value and n.

    Example:
        >>> in_words(mean_of([1, 2, 3])), in_words(mean_of([0.5])), in_words(mean_of([]))
        ('2 ± 2.484 (sd 1, n 3)', '0.5 (n 1)', '')
    """
    if not mean.n:
        return ""
    if np.isnan(mean.sd):
        return f"{mean.mean:.4g} (n {mean.n})"
    return f"{mean.mean:.4g} ± {mean.high - mean.mean:.4g} (sd {mean.sd:.4g}, n {mean.n})"


def as_text(table: pd.DataFrame, format: Format) -> str:
    """A table of text as Markdown or as LaTeX (with the package booktabs)."""
    if format == "latex":
        return table.rename(columns=_latex).map(_latex).to_latex(index=False)
    lines: list[list[Any]] = [[*table], ["---"] * table.shape[1], *table.to_numpy().tolist()]
    escaped = [[str(cell).replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _latex(text: object) -> str:
    """Escape the characters that LaTeX reads as commands."""
    escaped = "".join(_LATEX.get(character, character) for character in str(text))
    return escaped.replace("±", r"$\pm$")


_LATEX = {c: "\\" + c for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
