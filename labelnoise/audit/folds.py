"""Train the folds of an audit: each is an ordinary run in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from labelnoise.audit.config import fold_config, jobs_of
from labelnoise.errors import InputError
from labelnoise.processes.devices import gpu_of, gpus_of
from labelnoise.processes.interrupts import Interrupted, deferred, received
from labelnoise.processes.server import import_path
from labelnoise.run_directory import RunDirectory

log = logging.getLogger(__name__)

_INTERVAL = 0.2  # seconds between two looks at the processes


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
    with TemporaryDirectory(prefix="labelnoise-") as folder, deferred(), _bar(cfg) as bar:
        waiting = [_Fold(cfg, directory, Path(folder), fold) for fold in range(cfg.folds)]
        every, running = list(waiting), list[_Fold]()
        jobs = jobs_of(cfg, len(gpus_of(cfg)))
        task = bar.add_task(f"{cfg.folds} folds", total=1.0) if bar else None
        try:
            while waiting or running:
                if (number := received()) is not None:
                    _end(running)
                    log.info(
                        "interrupted; to continue, write the same command again with name=%s",
                        cfg.name,
                    )
                    raise Interrupted(number)
                while waiting and len(running) < jobs:
                    running.append(waiting.pop(0))
                    running[-1].start()
                time.sleep(_INTERVAL)
                running = [fold for fold in running if not fold.ended()]
                if bar and task is not None:
                    share = sum(fold.share_done() for fold in every) / len(every)
                    bar.update(task, completed=share)
        finally:
            _end(every)  # also closes the pipes of those that have ended


def _bar(cfg: DictConfig) -> AbstractContextManager[Progress | None]:
    if not cfg.trainer.get("enable_progress_bar", True):
        return nullcontext()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    return Progress(*columns, TimeRemainingColumn())


class _Fold:
    """The process of one fold."""

    def __init__(self, cfg: DictConfig, audit: Path, folder: Path, fold: int) -> None:
        self.path, self.name = fold_directory(audit, fold), cfg.name
        self.orders = folder / str(fold)
        self.orders.mkdir()
        run = fold_config(cfg, fold)
        run.trainer.enable_progress_bar = False  # the audit shows one bar for all folds
        OmegaConf.save(run, self.orders / "config.yaml")
        self.gpu = gpu_of(fold, gpus_of(cfg))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable, "-P", "-m", "labelnoise.audit.worker", str(self.orders), str(self.path)
        ]  # fmt: skip
        environment = os.environ | self.gpu | {"PYTHONPATH": import_path()}
        output = (self.orders / "output").open("wb")
        with output:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output
            )

    def ended(self) -> bool:
        """Whether the process has ended with success."""
        assert self.process is not None
        code = self.process.poll()
        if code:
            raise self._failure(code)
        return code == 0

    def _failure(self, code: int) -> BaseException:
        report = self.orders / "failure.json"
        failure = json.loads(report.read_text()) if report.exists() else {}
        if failure.get("line") is not None:
            return InputError(failure["line"])
        if code < 0:
            return InputError(
                f"the process that trains {self.path} was ended by signal {-code}: continue with "
                f"the same options and name={self.name}; if the memory was full, lower jobs="
            )
        text = failure.get("traceback") or (self.orders / "output").read_text(errors="replace")
        return RuntimeError(f"the process that trains {self.path} failed:\n{text}")

    def share_done(self) -> float:
        """The share of the epochs that the per-sample log has; 1 for a finished run."""
        run = RunDirectory(self.path)
        if run.summary.exists():
            return 1.0
        try:
            step: Any = np.load(run.dynamics / "step.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):  # not yet written
            return 0.0
        return float((step >= 0).mean()) if len(step) else 0.0


def _end(folds: Sequence[_Fold]) -> None:
    """Ask the processes to save their runs, and wait for them."""
    processes = [fold.process for fold in folds if fold.process is not None]
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.wait()
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()
