"""Run jobs in processes of their own, a few at a time; a job that fails ends no other job.

Python's ``multiprocessing`` starts a server (method "forkserver") that imports the modules of a job
once. Each job is a fork of the server. It spends no time on imports and shares the memory of the
modules. Its state (random streams, environment, working directory, options of torch) ends with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from labelnoise.processes.interrupts import Interrupted, deferred, received
from labelnoise.processes.memory import available_memory, own_memory
from labelnoise.processes.worker import INTERRUPTED, INTERRUPTED_STATUS, Report, work

_INTERVAL = 0.2  # seconds between two looks at signals and at the free memory
# The assumed memory of a job in bytes, until a job has taken more; a small run takes about as much.
FIRST_GUESS = 250 * 2**20


@dataclass(frozen=True)
class Job:
    """A call of a function in a process of its own.

    Attributes:
        name: the name of the job in messages.
        function: the process finds it by its module and name.
        arguments: the arguments of the function, which are pickled.
        output: the file to which stdout and stderr are appended.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    output: Path


@dataclass(frozen=True)
class Started:
    """A job has a process."""

    job: Job
    pid: int


@dataclass(frozen=True)
class Ended:
    """The process of a job has ended."""

    job: Job
    pid: int
    seconds: float
    report: Report


class Pool:
    """Runs jobs in places, at most one in each place at a time.

    A job starts only if the free memory is larger than the memory that any job has taken until now,
    or if no other job is running.

    Args:
        places: for each place the environment variables of its jobs, such as those of a GPU.
        explain: the line of a user's error, or None for another exception; a function that the
            processes can import.
        say: prints a line when a job waits for memory, and after a signal.
        look: the pool calls it a few times a second while jobs run.
        overlap: whether the next job starts as soon as a job has reported, while the process of the
            job ends. Use False on a GPU: the process frees its memory only at its end.
    """

    def __init__(
        self,
        places: Sequence[Mapping[str, str]],
        explain: Callable[[BaseException], str | None],
        say: Callable[[str], None] = print,
        look: Callable[[], None] = lambda: None,
        *,
        overlap: bool = False,
    ) -> None:
        self.overlap = overlap
        self.places, self.explain, self.say, self.look = places, explain, say, look
        self._running: list[_Process] = []
        self._leaving: list[_Process] = []  # the processes that have reported
        self._largest = FIRST_GUESS
        self._said_full = self._stopping = False

    def stop(self) -> None:
        """Start no more jobs; the running jobs save their state and end."""
        if not self._stopping:
            self._stopping = True
            for process in self._running:
                process.ask_to_leave()

    def run(self, jobs: Iterator[Job]) -> Generator[Started | Ended, None, None]:
        """Run the jobs, and yield an event at the start and at the end of each job.

        A first Ctrl-C or SIGTERM calls :meth:`stop`. A second signal ends the jobs at once. If this
        process is killed, the jobs save their state and end.

        Raises:
            SystemExit: after a signal, when all jobs have ended.
        """
        with deferred():
            try:
                waiting = next(jobs, None)
                while self._running or (waiting is not None and not self._stopping):
                    if received() is not None and not self._stopping:
                        self.say(
                            f"{_jobs(len(self._running))} save and leave; a second signal "
                            "ends them at once"
                        )
                        self.stop()
                    while waiting is not None and self._may_start():
                        yield from self._start(waiting)
                        waiting = next(jobs, None)
                    yield from self._ended()
                    self.look()
            except Interrupted:
                raise
            except BaseException:  # also if the caller closes the generator
                self.stop()
                while self._running:
                    list(self._ended())
                raise
            finally:
                for process in self._running:
                    process.kill()
                for process in self._leaving:
                    process.join()
            if (number := received()) is not None:
                raise Interrupted(number)

    def _may_start(self) -> bool:
        if self._stopping or len(self._running) >= len(self.places):
            return False
        if not self._running or (free := available_memory()) is None:
            return True
        taken = [own_memory(process.pid) or 0 for process in self._running]
        self._largest = max(self._largest, *taken)
        free -= sum(self._largest - own for own in taken)  # running jobs may still grow
        if free <= self._largest and not self._said_full:
            self._said_full = True
            at_once = f"{len(self._running)} instead of {len(self.places)} jobs at a time"
            needed = f"{self._largest / 2**20:.0f} MB"
            self.say(f"{at_once}, because a job takes up to {needed} and the memory is full")
        return free > self._largest

    def _start(self, job: Job) -> Iterator[Started | Ended]:
        taken = [process.place for process in self._running]
        place = next(i for i in range(len(self.places)) if i not in taken)
        try:
            process = _Process(job, place, self.places[place], self.explain)
        except Exception as error:
            report = Report("failed", reason=f"the job cannot be started: {error}", lost=True)
            yield Ended(job, 0, 0.0, report)
            return
        self._running.append(process)
        yield Started(job, process.pid)

    def _ended(self) -> Iterator[Ended]:
        """Wait a moment, and return the jobs that have ended."""
        wait([handle for process in self._running for handle in process.handles()], _INTERVAL)
        for process in list(self._running):
            report = process.report(early=self.overlap)
            if report is not None:
                self._running.remove(process)
                self._leaving = [each for each in self._leaving if not each.has_ended()]
                self._leaving.append(process)
                self._largest = max(self._largest, report.own_peak or 0)
                seconds = time.monotonic() - process.started
                yield Ended(process.job, process.pid, seconds, report)


class _Process:
    """The process of a running job."""

    def __init__(
        self,
        job: Job,
        place: int,
        variables: Mapping[str, str],
        explain: Callable[[BaseException], str | None],
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        self.job, self.place = job, place
        ours, theirs = context.Pipe()
        environment = {**os.environ, **variables}
        arguments = (theirs, job.function, job.arguments, environment, job.output, explain)
        self._process = context.Process(target=work, args=arguments, name=job.name)
        self._process.start()  # waits for the server
        self.started = time.monotonic()
        theirs.close()
        self._pipe: Connection = ours
        self._report: Report | None = None
        assert self._process.pid is not None
        self.pid = self._process.pid
        self._heard = False

    def handles(self) -> list[Any]:
        """The handles that become ready when the job reports or ends."""
        return [self._process.sentinel] + ([] if self._heard else [self._pipe])

    def ask_to_leave(self) -> None:
        with suppress(OSError):  # the process has ended
            self._pipe.send_bytes(b"leave")

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def has_ended(self) -> bool:
        """Whether the process does not exist any more."""
        return self._process.exitcode is not None

    def join(self) -> None:
        """Wait for the end of the process."""
        self._process.join()

    def report(self, *, early: bool) -> Report | None:
        """The report of a job that has ended (with ``early``: that has reported); else None."""
        code = self._process.exitcode  # first, because the report comes before the end
        if not self._heard and self._pipe.poll():
            self._heard = True
            with suppress(Exception):  # the process ended before or while it sent the report
                self._report = self._pipe.recv()
        if code is None and not (early and self._report):
            return None
        self._pipe.close()
        return self._report or _report_of(code or 0)


def _jobs(count: int) -> str:
    return f"{count} running job{'' if count == 1 else 's'}"


def _report_of(code: int) -> Report:
    """The report of a process that sent none.

    Example:
        >>> _report_of(-9).reason, _report_of(3).status
        ('killed by SIGKILL, as when the memory is full', 'failed')
    """
    if code in INTERRUPTED_STATUS:
        return INTERRUPTED
    if code >= 0:
        reason = f"the process ended with status {code} and without a result"
        return Report("failed", reason=reason, lost=True)
    advice = ", as when the memory is full" if code == -signal.SIGKILL else ""
    reason = f"killed by {signal.Signals(-code).name}{advice}"
    return Report("killed", reason=reason, signal=-code, lost=True)
