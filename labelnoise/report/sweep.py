"""After a multirun: one table over all runs, and the two-stages figure where they are few."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from labelnoise.csv_files import write_rows
from labelnoise.errors import InputError
from labelnoise.report.settings import by_setting, settings_of, telling_keys, without_seeds

if TYPE_CHECKING:  # which imports torch
    from labelnoise.report.loaded import LoadedRun

COLUMNS = {
    "clean fitted": ("stages", "clean_fit_step"),
    "memorization overtakes": ("stages", "crossing_step"),
    "memorized": ("stages", "memorized_step"),
    "dominance lost": ("stages", "dominance_lost_step"),
    "last step": ("step",),
    "noisy accuracy": ("final", "train/acc_noisy"),
    "test error": ("final", "test/acc"),
    "oracle best": ("report_card", "oracle_best", "test_acc"),
    "val selected": ("report_card", "val_selected", "test_acc"),
    "last": ("report_card", "last", "test_acc"),
    "precision": ("selection", "first", "precision"),
    "recall": ("selection", "first", "recall"),
    "suspects precision": ("suspects", "precision"),
    "suspects recall": ("suspects", "recall"),
    "AUC loss": ("suspects", "auc", "loss"),
    "AUC AUM": ("suspects", "auc", "aum"),
    "AUC wrong events": ("suspects", "auc", "wrong_events"),
}
ERRORS = {"test error"}


# The sweep under way in this process, from its start to its report.
_directory: Path | None = None


class SweepReport(Callback):
    """Hydra's callback: remembers where the sweep lies, for :func:`sweep_reported`."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _directory
        directory = Path(config.hydra.sweep.dir)
        if (directory / ".hydra").exists():
            # Hydra turns a callback's exceptions into warnings, but lets it exit.
            sys.stderr.write(f"error: {directory} holds a run: choose another name= to sweep\n")
            raise SystemExit(1)
        _directory = directory


@contextmanager
def sweep_reported() -> Iterator[None]:
    """Around a door: report on a sweep at its end, also when some of its runs failed.

    Hydra tells its callbacks of the end only where every run went well. Runs that another process
    is training, as the same sweep started twice, are waited for; the process ends with status 1
    where one of them is not finished then.
    """
    global _directory
    left: list[Path] = []
    try:
        yield
        if _directory is not None:
            from labelnoise.sweep_jobs import wait_for_others

            left = wait_for_others(_directory)
    finally:
        directory, _directory = _directory, None
        if directory is not None:
            report_sweep(directory)
    if left:
        names = ", ".join(folder.name for folder in left)
        sys.stderr.write(
            f"error: another process did not finish run {names} in {directory}: write the same "
            "command again\n"
        )
        raise SystemExit(1)


def report_sweep(directory: Path) -> None:
    """Write sweep.csv (a row a run) and the figures, print mean and range over seeds.

    Runs that did not finish are named, and the others are reported all the same.
    """
    from labelnoise.report.loaded import load_run
    from labelnoise.sweep_jobs import job_folders

    runs, unfinished = [], []
    for folder in job_folders(directory):
        if not (folder / "summary.json").is_file():
            unfinished += [folder.name] if any(folder.iterdir()) else []
            continue
        try:
            runs.append(load_run(folder))
        except InputError as error:
            print(f"left out of the report: {error}")
    if runs:
        write_sweep(directory, runs)
    if unfinished:
        print(f"not finished in {directory}: run {', '.join(unfinished)}")


def write_sweep(directory: Path, runs: Sequence[LoadedRun]) -> None:
    """Write sweep.csv, stoppers.csv and the figures, and print the tables."""
    from labelnoise.report.stoppers_figure import regret_table, write_regrets
    from labelnoise.report.sweep_figures import write_sweep_figures
    from labelnoise.report.tables import print_sweep

    rows = sweep_rows(runs)
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_rows(directory / "sweep.csv", names, rows)
    print_sweep(over_seeds(runs), f"mean [min, max] over seeds, {directory}")
    together = by_setting(runs, lambda run: run.config)
    if regret := regret_table(together):
        print_sweep(regret, "points of test accuracy below the oracle's epoch, by stopping rule")
        write_regrets(directory / "stoppers.csv", together)
    write_sweep_figures(directory / "figures", runs)


def sweep_rows(runs: Sequence[LoadedRun]) -> list[dict[str, Any]]:
    """A row a run: its folder, the settings in which the runs differ, its seed, its measures."""
    found = [settings_of(run.config) for run in runs]
    keys = [*telling_keys(without_seeds(found)), "seed"]
    return [
        {
            "run": run.directory.path.name,
            **{key: settings[key] for key in keys if key in settings},
            **measures(run.summary),
        }
        for run, settings in zip(runs, found, strict=True)
    ]


def measures(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers of :data:`COLUMNS`; None where a run has none."""
    return {name: _look_up(summary, name) for name in COLUMNS}


def _look_up(summary: Mapping[str, Any], name: str) -> float | None:
    node: Any = summary
    for key in COLUMNS[name]:
        node = node.get(key) if isinstance(node, dict) else None
    return round(1 - node, 6) if name in ERRORS and node is not None else node


def over_seeds(runs: Iterable[LoadedRun]) -> dict[str, dict[str, str]]:
    """By setting other than the seed, ``mean [min, max]`` of every measure that any run has."""
    table = {}
    for name, members in by_setting(runs, lambda run: run.config).items():
        values = {m: [measures(member.summary)[m] for member in members] for m in COLUMNS}
        shown = {m: mean_and_range(numbers) for m, numbers in values.items()}
        table[name] = {"runs": str(len(members)), **shown}
    seen = {m for row in table.values() for m, value in row.items() if value}
    return {name: {m: v for m, v in row.items() if m in seen} for name, row in table.items()}


def mean_and_range(values: Iterable[float | None], digits: int = 4) -> str:
    """``0.012 [0.01, 0.015]``; one number alone, and an empty text where there is none.

    Example:
        >>> mean_and_range([1.0, 2.0, None]), mean_and_range([3.0]), mean_and_range([None])
        ('1.5 [1, 2]', '3', '')
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    mean = f"{sum(known) / len(known):.{digits}g}"
    low, high = f"{min(known):.{digits}g}", f"{max(known):.{digits}g}"
    return mean if low == high else f"{mean} [{low}, {high}]"
