"""A table of runs: the settings in which they differ, and every number of summary.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from labelnoise.errors import InputError
from labelnoise.files.tables import write_columns
from labelnoise.report.loaded import LoadedRun, load_runs
from labelnoise.report.tables.numbers import numbers_of
from labelnoise.report.tables.settings import settings_of, telling_keys


def runs_table(runs: Sequence[LoadedRun]) -> pd.DataFrame:
    """A table with a row for each run; the index is the directory of the run.

    Returns:
        The columns are the seed, the options that distinguish the runs, the status, and every
        number in summary.json by its dotted name, for example ``final.test/acc``. The table has no
        lists, such as the transition matrix. A number that a run does not have is NaN.
    """
    found = [settings_of(run.config) for run in runs]
    keys = telling_keys(found, always=("seed",))
    rows = [
        {key: settings.get(key) for key in keys} | dict(numbers_of(run.summary))
        for run, settings in zip(runs, found, strict=True)
    ]
    index = pd.Index([str(run.directory.path) for run in runs], name="run")
    return pd.DataFrame(rows, index=index)


def write_runs_table(path: Path, runs: Sequence[LoadedRun]) -> None:
    """Write :func:`runs_table` as CSV; a missing number is an empty cell."""
    table = runs_table(runs).reset_index()
    shown = table.astype(object).where(table.notna(), "")
    write_columns(path, {str(name): shown[name].to_list() for name in shown})


def report_runs(folders: Sequence[Path], to: Path | None) -> str:
    """Write the table of the finished runs in ``folders`` as CSV.

    Args:
        folders: directories of runs and of sweeps.
        to: the file; None is runs.csv in the first folder.

    Raises:
        InputError: a folder has no finished run, or the file cannot be written.
    """
    runs = load_runs(folders)
    path = folders[0] / "runs.csv" if to is None else to
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} does not exist: give --to a file in an existing folder")
    write_runs_table(path, runs)
    return f"{path}: {len(runs)} runs"


def metric_of(table: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """The checked names of metrics; without names, the accuracy of the network kept.

    Raises:
        InputError: no run has a metric of this name.
    """
    numeric = [str(name) for name in table.select_dtypes("number")]
    chosen = list(names)
    if not chosen:
        accuracies = ("final.test/acc", "final.val/acc")
        chosen = [name for name in accuracies if name in numeric][:1]
    for name in chosen:
        if name not in numeric:
            close = [each for each in numeric if name.split(".")[-1] in each]
            raise InputError(
                f"no run has the number {name}, there are: {', '.join(close or numeric)}"
            )
    return chosen
