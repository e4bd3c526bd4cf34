"""Train the folds of an audit: each is an ordinary run in a process of its own."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from labelnoise.audit.config import fold_config, jobs_of
from labelnoise.config.command_line import explain
from labelnoise.errors import InputError
from labelnoise.processes.devices import gpu_of, gpus_of
from labelnoise.processes.interrupts import received
from labelnoise.processes.pool import Ended, Job, Pool, Started
from labelnoise.processes.server import start_server
from labelnoise.run_directory import RunDirectory
from labelnoise.training.train import train

log = logging.getLogger(__name__)


def fold_directory(audit: Path, fold: int) -> Path:
    """The run directory of a fold."""
    return audit / f"fold_{fold}"


def train_folds(cfg: DictConfig, directory: Path) -> None:
    """Train the folds that are not finished, ``jobs`` at a time, and show the time left.

    A fold that was interrupted continues. After a first Ctrl-C or SIGTERM the processes save their
    runs and exit; a second signal ends them.

    Raises:
        InputError: the InputError of a fold.
        RuntimeError: a fold failed; with its traceback.
        SystemExit: the audit was interrupted.
    """
    gpus = gpus_of(cfg)
    places = [gpu_of(place, gpus) for place in range(jobs_of(cfg, len(gpus)))]
    paths = [fold_directory(directory, fold) for fold in range(cfg.folds)]
    start_server([__name__])
    with TemporaryDirectory(prefix="labelnoise-") as outputs, _bar(cfg) as bar:
        task = bar.add_task(f"{cfg.folds} folds", total=1.0) if bar else None

        def show() -> None:
            if bar and task is not None:
                bar.update(task, completed=sum(map(_share_done, paths)) / len(paths))

        calls = (
            Job(str(fold), train_fold, (fold_config(cfg, fold), path), Path(outputs, str(fold)))
            for fold, path in enumerate(paths)
        )
        try:
            with closing(Pool(places, explain, log.info, show).run(calls)) as events:
                for event in events:
                    _check(event, paths[int(event.job.name)], cfg.name)
        except SystemExit:
            log.info(
                "interrupted; to continue, write the same command again with name=%s", cfg.name
            )
            raise


def train_fold(cfg: DictConfig, path: Path) -> None:
    """Train the run of a fold in its own process; the audit shows one bar for all folds."""
    cfg.trainer.enable_progress_bar = False
    train(cfg, path)


def _check(event: Started | Ended, path: Path, name: str) -> None:
    """Raise the error of a fold that did not finish; after a signal the others end first."""
    if isinstance(event, Started) or event.report.status == "finished" or received():
        return
    report = event.report
    if report.refused:
        raise InputError(report.reason)
    if report.status == "failed":
        text = report.text or report.reason
        raise RuntimeError(f"the process that trains {path} failed:\n{text}")
    raise InputError(
        f"the process that trains {path} was ended by signal {report.signal}: continue with "
        f"the same options and name={name}; if the memory was full, lower jobs="
    )


def _bar(cfg: DictConfig) -> AbstractContextManager[Progress | None]:
    if not cfg.trainer.get("enable_progress_bar", True):
        return nullcontext()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    return Progress(*columns, TimeRemainingColumn())


def _share_done(path: Path) -> float:
    """The share of the epochs that the per-sample log of a fold has; 1 for a finished run."""
    run = RunDirectory(path)
    if run.summary.exists():
        return 1.0
    try:
        step: Any = np.load(run.dynamics / "step.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):  # not yet written
        return 0.0
    return float((step >= 0).mean()) if len(step) else 0.0
