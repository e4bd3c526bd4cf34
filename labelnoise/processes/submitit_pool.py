"""Run jobs with submitit (extra ``cluster``): on SLURM, or in processes of this machine."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import redirect_stderr, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelnoise.errors import InputError
from labelnoise.processes.interrupts import Interrupted, deferred, received
from labelnoise.processes.pool import Ended, Job
from labelnoise.processes.remote import LOST, RemoteCall, Submitted, hidden_from_ctrl_c
from labelnoise.processes.worker import Report

if TYPE_CHECKING:  # an extra
    import submitit

# SLURM sends SIGTERM to a job that it cancels or preempts, and kills the job later: KillWait is
# 30 s by default. A job that exists after so many seconds was not cancelled, so it requeues itself.
_KILL_WAIT = 300.0


class SubmititPool:
    """Runs jobs with an executor of submitit.

    Args:
        executor: a LocalExecutor or a SlurmExecutor.
        at_once: the number of jobs that run at the same time on this machine; None submits all jobs
            at once.
        explain: as in :class:`labelnoise.processes.pool.Pool`.
        say: prints a line after a signal.
    """

    def __init__(
        self,
        executor: submitit.Executor,
        at_once: int | None,
        explain: Callable[[BaseException], str | None],
        say: Callable[[str], None] = print,
    ) -> None:
        self.executor, self.at_once, self.explain, self.say = executor, at_once, explain, say
        self.on_slurm = executor.name() == "slurm"
        self._running: list[tuple[Job, submitit.Job[Any]]] = []
        self._stopping = False

    def stop(self) -> None:
        """Start no more jobs; the running jobs save their state and end."""
        if not self._stopping:
            self._stopping = True
            for _, job in self._running:
                self._end(job)

    def run(self, jobs: Iterator[Job]) -> Generator[Submitted | Ended, None, None]:
        """Run the jobs, and yield an event when a job is submitted and when it ends.

        A first Ctrl-C or SIGTERM calls :meth:`stop` on this machine. Jobs on SLURM stay there.

        Raises:
            InputError: SLURM does not accept the jobs.
            SystemExit: after a signal.
        """
        with deferred():
            try:
                yield from self._run(jobs)
            except Interrupted:
                if not self.on_slurm:  # a second signal ends the jobs at once
                    for _, job in self._running:
                        self._end(job)
                raise
            except BaseException:  # also if the caller closes the generator
                self.stop()
                raise

    def _run(self, jobs: Iterator[Job]) -> Generator[Submitted | Ended, None, None]:
        more = True
        while more or self._running:
            if (number := received()) is not None and self.on_slurm:
                raise Interrupted(number)
            if number is not None and not self._stopping:
                self.say("the running jobs save and leave; a second signal ends them at once")
                self.stop()
            if more := more and not self._stopping:
                free = None if self.at_once is None else self.at_once - len(self._running)
                batch = list(islice(jobs, free))
                more = bool(batch) or free == 0
                yield from self._submit(batch)
            yield from self._ended()

    def _submit(self, batch: list[Job]) -> Iterator[Submitted]:
        if not batch:
            return
        calls = [_SubmittedCall(job, self.explain) for job in batch]
        try:
            # submitit would print the error of sbatch too
            with hidden_from_ctrl_c(), redirect_stderr(io.StringIO()):
                submitted = self.executor.submit_array(calls)
        except (RuntimeError, OSError) as error:  # submitit's errors are RuntimeErrors
            text = " ".join(str(error).replace("sbatch: error: ", "").split())
            raise InputError(f"SLURM does not accept the jobs: {text}") from error
        for job, theirs in zip(batch, submitted, strict=True):
            self._running.append((job, theirs))
            if self.on_slurm:
                yield Submitted(job, f"job {theirs.job_id} of SLURM", f"scancel {theirs.job_id}")
            else:
                theirs._results_timeout_s = 0  # no file system is between this process and the job
                yield Submitted(job, f"process {theirs.job_id}")

    def _ended(self) -> Iterator[Ended]:
        time.sleep(1.0 if self.on_slurm else 0.2)
        for each in list(self._running):
            job, theirs = each
            if theirs.done():
                self._running.remove(each)
                yield self._end_of(job, theirs)

    def _end_of(self, job: Job, theirs: submitit.Job[Any]) -> Ended:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        try:
            ended: Ended = theirs.result()
            return ended
        except FailedJobError as error:  # the job could not begin, as when a module is missing
            lines = str(error).split("----------------------")[1].strip().splitlines()
            report = Report("failed", reason=f"the job cannot be started: {lines[-1]}")
        except UncompletedJobError:
            report = LOST
            if self.on_slurm:
                report = replace(LOST, reason=f"SLURM ended it, with the state {theirs.state}")
        return Ended(replace(job, output=Path(theirs.paths.stderr)), 0, 0.0, report)

    def _end(self, job: submitit.Job[Any]) -> None:
        with suppress(OSError, subprocess.SubprocessError):  # it has ended
            if self.on_slurm:
                job.cancel()
            else:
                os.kill(int(job.job_id), signal.SIGTERM)  # its controller forwards the signal


class _SubmittedCall(RemoteCall):
    """A call that saves its state and is queued again after submitit's signal.

    The signal comes before the time limit of a job, and on some clusters at its preemption.
    """

    def __call__(self) -> Ended:
        """Run the job in this process."""
        on_slurm = os.environ.get("SUBMITIT_EXECUTOR") == "slurm"
        self.only_first = on_slurm  # it sends SIGTERM and more signals for one reason
        preemption = _Preemption()
        ended = super().__call__()
        if ended.report.status == "interrupted" and preemption.arrives(_KILL_WAIT * on_slurm):
            return replace(ended, report=preemption.requeue())
        return ended

    def checkpoint(self) -> Any:
        """The call that submitit queues again; the state is in the directory of the run."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Preemption:
    """Submitit's signal in the process of a job.

    This process waits for it in a thread. The processes that it starts inherit the blocked signal,
    because SLURM sends it to all processes of a job.
    """

    def __init__(self) -> None:
        from submitit import JobEnvironment

        self.number = JobEnvironment._usr_sig()
        self._requeue = signal.getsignal(self.number)  # submitit's handler
        self._arrived = threading.Event()
        signal.signal(self.number, lambda number, frame: self._arrive())
        signal.pthread_sigmask(signal.SIG_BLOCK, {self.number})
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        while True:
            signal.sigwait({self.number})
            self._arrive()

    def _arrive(self) -> None:
        self._arrived.set()
        if received() is None:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def arrives(self, seconds: float) -> bool:
        """Whether the signal has arrived; with ``seconds`` True, but not before the signal or then.

        In this time SLURM kills a job that is cancelled, and kills and requeues a preempted one.
        """
        return self._arrived.wait(seconds) or seconds > 0

    def requeue(self) -> Report:
        """Queue the job again and exit.

        Returns:
            The end of the job if it is not queued again.

        Raises:
            SystemExit: the job is queued again.
        """
        assert callable(self._requeue)
        try:
            self._requeue(self.number, None)
            reason = "it was not queued again"
        except Exception as error:
            reason = " ".join(str(error).split())
        if "timed-out too many times" in reason:
            reason = (
                "the time limit ended it too often: write the same command again to continue it, "
                "or raise hydra.launcher.timeout_min or hydra.launcher.max_num_timeout"
            )
        return Report("interrupted", reason=reason, signal=self.number)
