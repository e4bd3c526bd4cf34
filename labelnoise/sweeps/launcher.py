"""``hydra/launcher=isolated``: each job of a sweep in a process of its own, a few at a time."""

from __future__ import annotations

import inspect
import math
import os
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import (
    JobReturn,
    JobRuntime,
    JobStatus,
    configure_log,
    run_job,
    setup_globals,
)
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from labelnoise.checks import COUNT
from labelnoise.config.command_line import explain
from labelnoise.config.composition import config_hash
from labelnoise.config.options import check_value
from labelnoise.config.remembered import RememberingLoader
from labelnoise.errors import InputError
from labelnoise.files.writing import process_exists
from labelnoise.processes.devices import cores, gpu_of
from labelnoise.processes.pool import Ended, Job, Pool, Started
from labelnoise.processes.server import start_server
from labelnoise.processes.worker import Report
from labelnoise.sweeps import ledger
from labelnoise.sweeps.jobs import jobs_left, leave
from labelnoise.sweeps.shares import Shares, shares_of
from labelnoise.sweeps.unfinished import Unfinished, note

# The modules of a run, also those that libraries import at their first use. The server of a sweep
# imports them once for all jobs.
MODULES = (
    "labelnoise.training.train",
    "labelnoise.report.loaded",
    "labelnoise.report.pictures.sweep",
    "matplotlib.backends.backend_agg",
    *(f"PIL.{kind}ImagePlugin" for kind in ("Bmp", "Gif", "Jpeg", "Ppm", "Png")),
    "tensorboard.plugins.hparams.summary_v2",
    "torch.utils.tensorboard",
    "fsspec.implementations.chained",
    "torch.utils.serialization",
    "xml.dom.minidom",
)


class Sweep:
    """The jobs of a sweep; Hydra's launcher ``isolated`` calls :meth:`launch`.

    Raises:
        InputError: an option of the launcher is out of range.
    """

    def __init__(
        self,
        n_jobs: Any,
        fail_fast: Any,
        context: HydraContext,
        task: TaskFunction,
        config: DictConfig,
    ) -> None:
        check_value("hydra.launcher.n_jobs", n_jobs, int | None, COUNT)
        check_value("hydra.launcher.fail_fast", fail_fast, bool, None)
        self.n_jobs, self.fail_fast = n_jobs, fail_fast
        self.loader = RememberingLoader(context.config_loader.get_search_path())
        context.config_loader = self.loader  # the sweeper composes each job with it, as a check
        self.context, self.config = context, config
        # Hydra gives the function inside its decorator; the name leads to the decorated one.
        self.task = getattr(sys.modules[task.__module__], task.__name__)
        self.folder = Path(str(config.hydra.sweep.dir))

    def launch(self, overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        """Run a job for each list of options; ``first`` is the number of the first job.

        Raises:
            InputError: there are no jobs.
            SystemExit: the sweep was interrupted.
        """
        if not overrides:
            raise InputError(
                "the sweep has no jobs, because an option has no values: write values as "
                "seed=0,1,2, and glob(...) only for the choices of a group"
            )
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        self.folder.mkdir(parents=True, exist_ok=True)
        _remove_outputs(self.folder)
        jobs = [_Job(self, first + i, list(words)) for i, words in enumerate(overrides)]
        common = set.intersection(*map(set, overrides)) if len(jobs) > 1 else set()
        for job in jobs:
            job.words = [word for word in job.overrides if word not in common]
        shares = shares_of(jobs[0].compose(), len(jobs), self.n_jobs)
        self._announce(jobs, shares)
        start_server([self.task.__module__, *MODULES])
        places = [gpu_of(place, shares.gpus) for place in range(shares.at_once)]
        pool = Pool(places, explain, print_line, overlap=not shares.gpus)
        try:
            with closing(pool.run(job.call(shares.threads) for job in jobs)) as events:
                for event in events:
                    self._follow(jobs[int(event.job.name) - first], event)
                    if self.fail_fast and isinstance(event, Ended) and event.report.reason:
                        pool.stop()
        finally:
            note(str(self.config.name), [job.unfinished() for job in jobs if not job.finished])
        return [job.returned() for job in jobs]

    def _announce(self, jobs: Sequence[_Job], shares: Shares) -> None:
        threads = shares.threads or jobs[0].config.get("threads")
        each = f", {threads} thread{'s' if threads != 1 else ''} each" if threads else ""
        gpus = f", {len(shares.gpus)} GPUs" if shares.gpus else ""
        print_line(f"{len(jobs)} jobs, {shares.at_once} at a time ({cores()} cores{gpus}{each})")
        event = {"status": "sweep", "jobs": len(jobs), "at_once": shares.at_once}
        ledger.append(self.folder, event | {"start": ledger.now()})

    def _follow(self, job: _Job, event: Started | Ended) -> None:
        """Print a line for the start or the end of a job, and store the end in the job."""
        words = " ".join(job.words)
        if isinstance(event, Started):
            job.started = True
            print_line(f"job {job.number} started: {words}")
            return
        job.end(event)
        line = f"job {job.number} {event.report.status} in {event.seconds:.1f} s"
        if job.left:
            line = f"job {job.number} is run by another process"
        elif event.report.reason:
            line += f": {event.report.reason}"
        elif isinstance(job.value, float) and math.isfinite(job.value):
            line += f", score {job.value:.4g}"
        print_line(f"{line} ({words})")


def _remove_outputs(folder: Path) -> None:
    """Remove the output that killed jobs of ended sweeps of this machine left."""
    for file in folder.glob(f".job-*-{ledger.host()}-*.log"):
        pid = file.stem.rpartition("-")[2]
        if pid.isdecimal() and not process_exists(int(pid)):
            file.unlink(missing_ok=True)


def print_line(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


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


class _Job:
    """A job of a sweep: its configuration, and its end."""

    def __init__(self, sweep: Sweep, number: int, overrides: list[str]) -> None:
        self.sweep, self.number, self.overrides = sweep, number, overrides
        # Used until the job has a directory; another process may run the same sweep.
        self.output = sweep.folder / f".job-{number}-{ledger.host()}-{os.getpid()}.log"
        self.words: list[str] = overrides  # the options in which the jobs differ
        self.started = False
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
        callbacks = self.sweep.context.callbacks
        arguments = (self.sweep.task, self.compose(), callbacks, threads)
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
        own = [e for e in events if e.get("pid") == event.pid and e.get("host") == ledger.host()]
        if own and own[-1]["status"] in ledger.FINAL:
            self._find_output(own[-1])
            return
        folder = self.sweep.folder / str(self.number)
        last = own[-1] if own else ledger.job_event(folder, self._hash(), self.overrides)
        report = event.report
        end = {"status": report.status, "reason": report.reason, "end": ledger.now()}
        ledger.append(self.sweep.folder, last | {"pid": event.pid} | end)
        self._find_output(last)
        with suppress(OSError), self.output.open("a") as file:
            file.write(f"{report.reason}\n")

    def _find_output(self, event: ledger.Event) -> None:
        moved = self.sweep.folder / str(event["job"]) / "output.log"
        if not self.output.exists():
            self.output = moved

    def _hash(self) -> str | None:
        try:
            return config_hash(_without_hydra(self.config))
        except Exception:  # the job has said what is wrong with its configuration
            return None

    def unfinished(self) -> Unfinished:
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
    task: TaskFunction, config: DictConfig, callbacks: Any, threads: int | None
) -> tuple[Any, list[Path]]:
    """Run a job in its own process.

    Returns:
        The value of the task function, and the folders of jobs that other processes run.
    """
    setup_globals()
    JobRuntime.instance().set("name", config.hydra.job.name)
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
