"""A job that a cluster runs: the call that travels there, and the events of its pool."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from labelnoise.processes.interrupts import Interrupted, interruptible
from labelnoise.processes.output import send_output_to
from labelnoise.processes.pool import Ended, Job
from labelnoise.processes.worker import INTERRUPTED, Report, call

# The end of a job that has sent no report.
LOST = Report(
    "killed",
    reason="its process ended without a report, as when it is killed or the memory is full",
)


@dataclass(frozen=True)
class Submitted:
    """A cluster has accepted a job; ``place`` names the job there, ``cancel`` is a command."""

    job: Job
    place: str
    cancel: str | None = None


class RemoteCall:
    """A call of a job, in the folder and with the command line of the process that creates it.

    It ends with a report in all cases, so no exception reaches the cluster's own software.

    Args:
        job: the job; its arguments are pickled.
        explain: as in :class:`labelnoise.processes.pool.Pool`.
    """

    # Whether signals after the first one are ignored.
    only_first = False

    def __init__(self, job: Job, explain: Callable[[BaseException], str | None]) -> None:
        self.job, self.explain = job, explain
        self.folder, self.words = Path.cwd(), list(sys.argv)
        self.variables = {k: v for k, v in os.environ.items() if k.startswith("LABELNOISE_")}

    def __call__(self) -> Ended:
        """Run the job in this process."""
        begun = time.monotonic()
        report = INTERRUPTED
        with suppress(Interrupted), interruptible(only_first=self.only_first):
            report = self._enter() or call(self.job.function, self.job.arguments, self.explain)
        sys.stdout.flush()
        sys.stderr.flush()
        job = replace(self.job, arguments=())
        return Ended(job, os.getpid(), time.monotonic() - begun, report)

    def _enter(self) -> Report | None:
        """Take over the folder of the launcher; a report if this machine does not have it."""
        for folder in (self.folder, self.job.output.parent):
            if not folder.is_dir():
                reason = (
                    f"{folder.absolute()} does not exist on the machine of the job: the machines "
                    "of a cluster must share the folder of the command and output_dir"
                )
                return Report("failed", reason=reason, refused=True)
            os.chdir(self.folder)
        sys.argv = self.words
        os.environ.update(self.variables)
        send_output_to(self.job.output)
        return None


@contextmanager
def hidden_from_ctrl_c() -> Iterator[None]:
    """Processes that start in the block do not receive Ctrl-C; this process receives it later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
