"""A job of a sweep in its launcher: its configuration, its call, and its end."""

from __future__ import annotations

import inspect
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobRuntime, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from labelnoise.config.remembered import RememberingLoader
from labelnoise.processes.pool import Ended, Job
from labelnoise.processes.remote import Submitted
from labelnoise.processes.worker import Report
from labelnoise.sweeps import ledger
from labelnoise.sweeps.jobs import jobs_left, leave
from labelnoise.sweeps.unfinished import Unfinished


@dataclass(frozen=True)
class Common:
    """The parts that the jobs of a sweep share.

    Attributes:
        folder: the folder of the sweep.
        started: the time of the call.
        task: the function of a job.
        loader: composes the configurations.
        config: the configuration of the sweep.
        callbacks: Hydra's callbacks.
    """

    folder: Path
    started: str
    task: TaskFunction
    loader: RememberingLoader
    config: DictConfig
    callbacks: Any


class _Failed(JobReturn):
    """The result of a job that did not finish; Hydra's own class would end the sweep.

    Attributes:
        report: its end; None if it was not started.
    """

    report: Report | None = None

    @property
    def return_value(self) -> float:
        return math.nan

    @return_value.setter
    def return_value(self, value: Any) -> None:
        pass


class LaunchedJob:
    """A job of a sweep: its configuration, and its end."""

    def __init__(self, sweep: Common, number: int, overrides: list[str]) -> None:
        self.sweep, self.number, self.overrides = sweep, number, overrides
        # Used until the job has a directory; another process may run the same sweep.
        self.output = sweep.folder / f".job-{number}-{ledger.host()}-{os.getpid()}.log"
        # Names this attempt in the ledger, whichever machine runs the job.
        self.launch = f"{ledger.host()}-{os.getpid()}-{sweep.started}-{number}"
        self.words: list[str] = overrides  # the options in which the jobs differ
        self.started = False
        self.submitted: Submitted | None = None
        self.event: Ended | None = None
        self.value: Any = None
        self.left: list[Path] = []

    def compose(self) -> DictConfig:
        config = self.sweep.loader.load_sweep_config(self.sweep.config, self.overrides)
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = self.number
        self.config = config
        return config

    def call(self, threads: int | None) -> Job:
        callbacks = self.sweep.callbacks
        arguments = (self.sweep.task, self.compose(), callbacks, threads, self.launch)
        return Job(str(self.number), run_one, arguments, self.output)

    @property
    def finished(self) -> bool:
        return self.event is not None and self.event.report.status == "finished"

    def end(self, event: Ended) -> None:
        """Store the end, and remove the output file of a finished or refused job."""
        self.event = event
        if event.report.status == "finished":
            self.value, self.left = event.report.value
            leave(self.left)
        else:
            self._record(event)
        if event.report.status == "finished" or event.report.refused:
            self.output.unlink(missing_ok=True)

    def _record(self, event: Ended) -> None:
        """Write the end of the job to the ledger and its output, if the job has not done so."""
        events, _ = ledger.read_events(self.sweep.folder)
        own = [e for e in events if e.get("launch") == self.launch]
        if own and own[-1]["status"] in ledger.FINAL:
            self._find_output(own[-1], event)
            return
        last = own[-1] if own else self._first_event(event)
        report = event.report
        end = {"status": report.status, "reason": report.reason, "end": ledger.now()}
        ledger.append(self.sweep.folder, last | end)
        self._find_output(last, event)
        with suppress(OSError), self.output.open("a") as file:
            file.write(f"{report.reason}\n")

    def _first_event(self, event: Ended) -> ledger.Event:
        folder = self.sweep.folder / str(self.number)
        hashed = ledger.hash_of(_without_hydra(self.config))
        mine = {"pid": event.pid, "launch": self.launch}
        return ledger.job_event(folder, hashed, self.overrides) | mine

    def _find_output(self, mine: ledger.Event, event: Ended) -> None:
        moved = self.sweep.folder / str(mine["job"]) / "output.log"
        for place in (self.output, moved, event.job.output):
            if place.exists():
                self.output = place
                return
        self.output = moved

    def unfinished(self) -> Unfinished:
        if self.event is None and self.submitted is not None and self.submitted.cancel:
            reason = f"stays in the cluster; {self.submitted.cancel} ends it"
            return Unfinished(self.number, "submitted", self.words, reason)
        if self.event is None and self.started:
            return Unfinished(self.number, "killed", self.words, "ended by a second signal")
        if self.event is None:
            return Unfinished(self.number)
        report = self.event.report
        output = self.output if self.output.exists() else None
        return Unfinished(self.number, report.status, self.words, report.reason, output)

    def returned(self) -> JobReturn:
        """The result for Hydra's sweeper."""
        found = JobReturn() if self.finished else _Failed()
        if isinstance(found, _Failed) and self.event is not None:
            found.report = self.event.report
        found.overrides, found.working_dir = self.overrides, str(Path.cwd())
        found.task_name = JobRuntime.instance().get("name")
        found.return_value = self.value
        found.status = JobStatus.COMPLETED if self.finished else JobStatus.FAILED
        return found


def _without_hydra(config: DictConfig) -> DictConfig:
    found = config.copy()
    with open_dict(found):
        del found["hydra"]
    return found


def run_one(
    task: TaskFunction, config: DictConfig, callbacks: Any, threads: int | None, launch: str
) -> tuple[Any, list[Path]]:
    """Run a job in its own process.

    Returns:
        The value of the task function, and the folders of jobs that other processes run.
    """
    setup_globals()
    JobRuntime.instance().set("name", config.hydra.job.name)
    ledger.set_launch(launch)
    if threads:
        import torch

        torch.set_num_threads(threads)
    found = run_job(
        inspect.unwrap(task),
        config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=HydraContext(config_loader=None, callbacks=callbacks),  # type: ignore[arg-type]
    )
    if found.status == JobStatus.FAILED:
        raise found._return_value
    return found.return_value, jobs_left()
