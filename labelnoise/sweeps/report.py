"""The report at the end of a sweep: tables and figures of its runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from labelnoise.config.command_line import exit_with_one_line
from labelnoise.config.places import exists
from labelnoise.errors import InputError
from labelnoise.files.tables import write_rows
from labelnoise.files.writing import remove_parts
from labelnoise.processes.server import call_in_fork
from labelnoise.sweeps.jobs import job_folders, wait_for_others
from labelnoise.sweeps.unfinished import unfinished_listed

if TYPE_CHECKING:  # which imports torch
    from labelnoise.report.loaded import LoadedRun

# The directory of the current sweep of this process.
_directory: Path | None = None


class SweepReport(Callback):
    """A Hydra callback that remembers the directory of the sweep for :func:`sweep_reported`."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _directory
        directory = Path(config.hydra.sweep.dir)
        if exists(directory / ".hydra"):
            # Hydra turns exceptions of a callback into warnings, but SystemExit works.
            sys.stderr.write(f"error: {directory} contains a run: choose another name= to sweep\n")
            raise SystemExit(1)
        _directory = directory


@contextmanager
def sweep_reported() -> Iterator[None]:
    """Wrap a command: report on a sweep at its end, also if runs failed.

    Hydra calls its callbacks at the end of a sweep only if all runs succeed. If the same sweep was
    started twice, this function waits for the runs in the other process. If that process does not
    finish one of them, the exit status is 1.
    """
    global _directory
    left: list[Path] = []
    with unfinished_listed():
        try:
            yield
            if _directory is not None:
                left = wait_for_others(_directory)
        finally:
            directory, _directory = _directory, None
            if directory is not None and (status := call_in_fork(_report, directory)):
                if status != 1:  # with status 1 the report has said what is wrong
                    sys.stderr.write(
                        f"error: the report on {directory} was interrupted: write the same command "
                        "again\n"
                    )
                raise SystemExit(1)
    if left:
        names = ", ".join(folder.name for folder in left)
        sys.stderr.write(
            f"error: another process did not finish run {names} in {directory}: write the same "
            "command again\n"
        )
        raise SystemExit(1)


def _report(directory: Path) -> None:
    """Report on a sweep in a fork of the server, which has imported torch."""
    try:
        report_sweep(directory)
    except Exception as error:
        exit_with_one_line(error)
        raise


def report_sweep(directory: Path) -> None:
    """Write sweep.csv, runs.csv and the figures, and print mean and range over seeds.

    The report names unfinished runs and runs that a search ended early, and leaves them out.
    """
    remove_parts(directory, directory / "figures")
    folders = job_folders(directory)
    finished = [folder for folder in folders if (folder / "summary.json").is_file()]
    if finished:
        _report_finished(directory, finished)
    if left := [each.name for each in folders if each not in finished and any(each.iterdir())]:
        print(f"not finished in {directory}: run {', '.join(left)}")


def _report_finished(directory: Path, folders: Sequence[Path]) -> None:
    from labelnoise.report.loaded import load_run  # imports torch

    runs, pruned = [], []
    for folder in folders:
        try:
            run = load_run(folder)
        except InputError as error:
            print(f"left out of the report: {error}")
            continue
        if run.summary.get("status") == "pruned":
            pruned.append(folder.name)
        else:
            runs.append(run)
    if runs:
        write_sweep(directory, runs)
    if pruned:
        print(f"ended early by the search and left out: run {', '.join(pruned)}")


def write_sweep(directory: Path, runs: Sequence[LoadedRun]) -> None:
    """Write sweep.csv, runs.csv, stoppers.csv and the figures, and print the tables."""
    from labelnoise.report.pictures.stoppers import regret_table, write_regrets
    from labelnoise.report.pictures.sweep import write_sweep_figures
    from labelnoise.report.tables.console import print_sweep
    from labelnoise.report.tables.runs import write_runs_table
    from labelnoise.report.tables.settings import by_setting
    from labelnoise.report.tables.sweep import over_seeds, sweep_rows

    rows = sweep_rows(runs)
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_rows(directory / "sweep.csv", names, rows)
    write_runs_table(directory / "runs.csv", runs)
    print_sweep(over_seeds(runs), f"mean [min, max] over seeds, {directory}")
    together = by_setting(runs, lambda run: run.config)
    if regret := regret_table(together):
        print_sweep(regret, "points of test accuracy below the oracle's epoch, by stopping rule")
        write_regrets(directory / "stoppers.csv", together)
    write_sweep_figures(directory / "figures", runs)
