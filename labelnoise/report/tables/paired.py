"""Paired comparisons: the differences between two settings in runs with equal seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labelnoise.checks import check_word
from labelnoise.errors import InputError
from labelnoise.files.tables import text_of_columns
from labelnoise.report.loaded import LoadedRun, load_runs
from labelnoise.report.tables.runs import metric_of, runs_table
from labelnoise.report.tables.seeds import FORMATS, Format, as_text
from labelnoise.report.tables.settings import (
    Settings,
    named,
    settings_of,
    technique_names,
    telling_keys,
    without_seeds,
)
from labelnoise.report.tables.statistics import holm, mean_of, paired_p

EXPLANATION = """\
Difference to {baseline}, mean over pairs of runs with equal seeds and equal settings.
low, high: 95 % confidence interval (Student's t). p: paired t test, two-sided; p (Holm): adjusted
for the {m} comparisons of this table. unpaired: runs without a partner, which are left out."""


def report_compare(
    folders: Sequence[Path],
    by: str | None,
    baseline: str | None,
    metric: Sequence[str],
    format: Format,
) -> str:
    """The paired differences between settings, with intervals.

    Args:
        folders: directories of runs and of sweeps.
        by: the option that is compared; None compares the other folders with the first folder.
        baseline: the value of ``by`` to compare with; None: "none" if there is one, else the first.
        metric: dotted names of numbers in summary.json; empty: the accuracy of the network kept.
        format: markdown, latex or csv.

    Raises:
        InputError: there is only one value or folder, ``baseline`` comes without ``by``, or
            two runs have the same settings.
    """
    check_word("--format", format, FORMATS)
    if by is None and len(folders) < 2:
        raise InputError(
            "a comparison needs two folders, or one folder and --by OPTION, for example --by "
            "technique"
        )
    if by is None and baseline is not None:
        raise InputError(
            f"--baseline {baseline} needs --by OPTION; folders are compared with the first folder"
        )
    runs = load_runs(folders)
    values = [_folder_of(run, folders) for run in runs] if by is None else _values(runs, by)
    names = list(dict.fromkeys(values))
    first = names[0] if by is None else _baseline(by, names, baseline)
    differences = paired_differences(runs, values, first, metric)
    if format == "csv":
        columns = {str(name): differences[name].to_list() for name in differences}
        return text_of_columns(columns).rstrip()
    shown = as_text(differences.map(_cell), format)
    if format == "latex":
        return shown
    lines = EXPLANATION.format(baseline=first, m=int(differences["p"].notna().sum()))
    if also := _differing([settings_of(run.config) for run in runs], values, by):
        lines += f"\nThe compared runs {'also ' * bool(by)}differ in: {', '.join(also)}."
    return f"{lines}\n\n{shown}"


def paired_differences(
    runs: Sequence[LoadedRun], values: Sequence[str], baseline: str, metric: Sequence[str]
) -> pd.DataFrame:
    """The differences to the baseline, a row for each setting, value and metric.

    Args:
        runs: the runs.
        values: (runs), the compared value of each run.
        baseline: one of the values.
        metric: as in :func:`report_compare`.

    Raises:
        InputError: two runs have the same settings, or no run has a partner.
    """
    found = [settings_of(run.config) for run in runs]
    settings, pairs = _settings_and_pairs(found, values)
    _check_pairs(runs, pairs, values)
    table = runs_table(runs)
    metrics = metric_of(table, metric)
    table = table[metrics].assign(value=values, setting=settings, pair=pairs)
    others = [value for value in dict.fromkeys(values) if value != baseline]
    rows = [
        {"setting": setting, "compared": value, "metric": name}
        | _difference(members, baseline, value, name)
        for setting, members in table.groupby("setting", sort=False)
        for name in metrics
        for value in others
        if value in set(members["value"])
    ]
    differences = pd.DataFrame(rows)
    if differences.empty or not differences["pairs"].any():
        raise InputError(
            f"no run of {', '.join(others)} has the seed and the settings of a run of {baseline}"
        )
    return differences.assign(**{"p (Holm)": holm(differences["p"].to_list())})


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def _folder_of(run: LoadedRun, folders: Sequence[Path]) -> str:
    """The folder from which :func:`load_runs` read the run."""
    path = run.directory.path
    return str(next(folder for folder in folders if folder in (path, path.parent)))


def _values(runs: Sequence[LoadedRun], by: str) -> list[str]:
    """The value of ``by`` in each run; a technique has the options that differ in its name."""
    configs = [run.config for run in runs]
    if by == "technique":
        return technique_names(configs)
    found = [settings_of(config) for config in configs]
    if not any(by in settings for settings in found):
        keys = ", ".join(telling_keys(found))
        raise InputError(
            f"--by {by}: no run has this option, the runs differ in: {keys or 'nothing'}"
        )
    return [str(settings.get(by)) for settings in found]


def _baseline(by: str, names: Sequence[str], baseline: str | None) -> str:
    if len(names) < 2:
        raise InputError(
            f"--by {by}: all runs have {by}={names[0]}, so there is no comparison; give an option "
            "in which the runs differ"
        )
    if baseline is None:
        return "none" if "none" in names else names[0]
    check_word("--baseline", baseline, names)
    return baseline


def _settings_and_pairs(
    found: Sequence[Settings], values: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The options in which the two runs of a pair agree, without the seed and with the seed.

    They are the options that vary within a group of runs with the same compared value. An option
    that differs only between groups does not belong to the pair; :func:`_differing` names it.
    """
    seedless = without_seeds(found)

    def names(settings: Sequence[Settings], keys: set[str]) -> list[str]:
        for value in set(values):
            keys |= set(
                telling_keys([s for s, v in zip(settings, values, strict=True) if v == value])
            )
        return [named(each, sorted(keys)) for each in settings]

    return names(seedless, set()), names(found, {"seed"})


def _check_pairs(runs: Sequence[LoadedRun], pairs: Sequence[str], values: Sequence[str]) -> None:
    """Refuse two runs of one group with the same settings, because their pair is not unique."""
    seen: dict[tuple[str, str], Path] = {}
    for run, key in zip(runs, zip(pairs, values, strict=True), strict=True):
        path = run.directory.path
        if (twin := seen.setdefault(key, path)) != path:
            raise InputError(f"{twin} and {path} have the same settings: leave one out")


def _differing(found: Sequence[Settings], values: Sequence[str], by: str | None) -> list[str]:
    """The options, other than ``by`` and its own options, that differ only between whole groups."""
    differing = []
    for key in dict.fromkeys(key for settings in found for key in settings):
        in_groups: dict[str, set[str]] = {}
        for settings, value in zip(found, values, strict=True):
            in_groups.setdefault(value, set()).add(str(settings.get(key)))
        whole = all(len(group) == 1 for group in in_groups.values())
        own = by is not None and key.split(".")[0] == by.split(".")[0]
        if whole and not own and len(set.union(*in_groups.values())) > 1:
            differing.append(key)
    return differing


def _difference(table: pd.DataFrame, first: str, name: str, metric: str) -> dict[str, Any]:
    """The paired difference of a metric, and the number of runs without a partner."""
    columns = {
        each: table[table["value"] == each].set_index("pair")[metric] for each in (first, name)
    }
    joined = pd.DataFrame(columns).dropna()
    differences = (joined[name] - joined[first]).to_numpy(dtype=float)
    mean = mean_of(differences)
    return {
        "difference": mean.mean,
        "low": mean.low,
        "high": mean.high,
        "p": paired_p(differences),
        "pairs": len(joined),
        "unpaired": sum(len(column) - len(joined) for column in columns.values()),
    }
