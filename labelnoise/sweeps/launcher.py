"""A sweep on a launcher: its jobs run in processes of their own, on this machine or a cluster."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from labelnoise.config.remembered import RememberingLoader
from labelnoise.errors import InputError
from labelnoise.files.writing import process_exists
from labelnoise.processes.pool import Ended, Started
from labelnoise.processes.remote import Submitted
from labelnoise.sweeps import ledger
from labelnoise.sweeps.crews import Crew, check, crew_of
from labelnoise.sweeps.launched import Common, LaunchedJob
from labelnoise.sweeps.unfinished import note


class Sweep:
    """The jobs of a sweep; Hydra's launcher calls :meth:`launch`.

    Args:
        launcher: a name in :data:`labelnoise.sweeps.crews.CREWS`.
        options: the options of the launcher.
        context, task, config: Hydra's context, the function of a job, and the configuration.

    Raises:
        InputError: an option of the launcher does not exist or is out of range.
    """

    def __init__(
        self,
        launcher: str,
        options: dict[str, Any],
        context: HydraContext,
        task: TaskFunction,
        config: DictConfig,
    ) -> None:
        self.launcher, self.options = launcher, check(options)
        self.loader = RememberingLoader(context.config_loader.get_search_path())
        context.config_loader = self.loader  # the sweeper composes each job with it, as a check
        self.context, self.config = context, config
        # Hydra gives the function inside its decorator; the name leads to the decorated one.
        self.task = getattr(sys.modules[task.__module__], task.__name__)
        self.folder = Path(str(config.hydra.sweep.dir))

    def launch(self, overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        """Run a job for each list of options; ``first`` is the number of the first job.

        Raises:
            InputError: there are no jobs, an extra is not installed, or the cluster cannot be used.
            SystemExit: the sweep was interrupted.
        """
        if not overrides:
            raise InputError(
                "the sweep has no jobs, because an option has no values: write values as "
                "seed=0,1,2, and glob(...) only for the choices of a group"
            )
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        shared = Common(
            self.folder, ledger.now(), self.task, self.loader, self.config, self.context.callbacks
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        _remove_outputs(self.folder)
        jobs = [LaunchedJob(shared, first + i, list(words)) for i, words in enumerate(overrides)]
        common = set.intersection(*map(set, overrides)) if len(jobs) > 1 else set()
        for job in jobs:
            job.words = [word for word in job.overrides if word not in common]
        module, cfg = self.task.__module__, jobs[0].compose()
        crew = crew_of(self.launcher, self.options, cfg, len(jobs), self.folder, module, print_line)
        self._announce(jobs, crew)
        try:
            with closing(crew.pool.run(job.call(crew.threads) for job in jobs)) as events:
                for event in events:
                    self._follow(jobs[int(event.job.name) - first], event)
                    failed = isinstance(event, Ended) and event.report.reason
                    if self.options["fail_fast"] and failed:
                        crew.pool.stop()
        except InputError:
            if not any(job.started for job in jobs):
                jobs = []  # the pool has refused to begin, and the error says it all
            raise
        finally:
            note(str(self.config.name), [job.unfinished() for job in jobs if not job.finished])
        return [job.returned() for job in jobs]

    def _announce(self, jobs: Sequence[LaunchedJob], crew: Crew) -> None:
        threads = crew.threads or jobs[0].config.get("threads")
        each = f", {threads} thread{'s' if threads != 1 else ''} each" if threads else ""
        at_once = f", {crew.at_once} at a time" if crew.at_once else ""
        print_line(f"{len(jobs)} jobs{at_once} ({crew.words}{each})")
        event = {"status": "sweep", "jobs": len(jobs), "at_once": crew.at_once}
        ledger.append(self.folder, event | {"start": ledger.now()})

    def _follow(self, job: LaunchedJob, event: Started | Submitted | Ended) -> None:
        """Print a line for the start or the end of a job, and store the end in the job."""
        words = " ".join(job.words)
        if isinstance(event, Started):
            job.started = True
            print_line(f"job {job.number} started: {words}")
            return
        if isinstance(event, Submitted):
            job.started, job.submitted = True, event
            print_line(f"job {job.number} submitted as {event.place}: {words}")
            return
        job.end(event)
        time = f" in {event.seconds:.1f} s" if event.seconds else ""  # unknown after a kill
        line = f"job {job.number} {event.report.status}{time}"
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
