"""The process of a job: its output, environment and report, and its end if the pool ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from labelnoise.errors import is_of_the_disk
from labelnoise.processes.interrupts import (
    Interrupted,
    interruptible,
    interruption_behind,
    received,
)
from labelnoise.processes.memory import own_peak
from labelnoise.processes.output import send_output_to

# The time in which a job saves its run after the process of the pool has ended, in seconds.
_GRACE = 300.0
# Added to the job's out-of-memory score (at most 1000), so that the pool outlives its jobs.
_OOM_SCORE = 300
# The statuses of a process that ends after a signal.
INTERRUPTED_STATUS = (128 + signal.SIGINT, 128 + signal.SIGTERM)

Status = Literal["finished", "failed", "interrupted", "killed"]


@dataclass(frozen=True)
class Report:
    """The end of a job.

    Attributes:
        status: "finished" if the function returned, "killed" if a signal ended the process.
        value: the returned value.
        reason: one line that says why the job did not finish.
        refused: whether the reason is a user's error.
        text: the traceback, if the reason is not a user's error.
        signal: the signal that ended the process or stopped the job.
        lost: whether the job did not finish for a reason outside of it, so that it may finish if it
            is repeated: a signal, the end of its process, or the disk.
        own_peak: the largest memory in bytes of the process alone; None if unknown.
    """

    status: Status
    value: Any = None
    reason: str | None = None
    refused: bool = False
    text: str | None = None
    signal: int | None = None
    own_peak: int | None = None
    lost: bool = False


INTERRUPTED = Report(
    "interrupted", reason="stopped before its end", signal=signal.SIGTERM, lost=True
)


def work(
    pool: Connection,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    environment: Mapping[str, str],
    output: Path,
    explain: Callable[[BaseException], str | None],
) -> None:
    """Call ``function(*arguments)`` in this process, and send a :class:`Report` to the pool.

    ``explain`` returns the line of a user's error, and None for other errors.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the pool decides
    _become_first_victim()
    os.environ.clear()
    os.environ.update(environment)
    send_output_to(output)
    report = INTERRUPTED
    with suppress(Interrupted), interruptible():
        threading.Thread(target=_leave_with, args=(pool,), daemon=True).start()
        report = call(function, arguments, explain)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nothing is left to save
    with suppress(OSError):  # the process of the pool has ended
        pool.send(report)


def call(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    explain: Callable[[BaseException], str | None],
) -> Report:
    """Call ``function(*arguments)``, and report how it ended."""
    try:
        value = function(*arguments)
    except SystemExit as error:
        if error.code in INTERRUPTED_STATUS:
            return INTERRUPTED
        return Report("failed", reason=f"the job called sys.exit({error.code!r})")
    except BaseException as error:
        if interruption_behind(error) is not None:
            return INTERRUPTED
        if (line := explain(error)) is not None:
            print(f"error: {line}", file=sys.stderr)
            return Report("failed", reason=line, refused=True, lost=is_of_the_disk(error))
        traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return Report("failed", reason=reason, text=traceback.format_exc())
    return Report("finished", value, own_peak=own_peak())


def _leave_with(pool: Connection) -> None:
    """Stop the job as SIGTERM does, when the pool asks for it or the process of the pool ends."""
    try:
        pool.recv_bytes()
        asked = True
    except (EOFError, OSError):
        asked = False
    if received() is None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    if not asked:
        time.sleep(_GRACE)
        os._exit(1)


def _become_first_victim() -> None:
    """Let the out-of-memory killer choose this process before the process of the pool."""
    file = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):  # not Linux
        file.write_text(str(min(1000, int(file.read_text()) + _OOM_SCORE)))
