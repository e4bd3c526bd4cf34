"""Jobs for the tests of the pool; a process of a job finds them by their names."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from typing import Any

from labelnoise.errors import InputError
from labelnoise.processes.interrupts import received


def finish(value: Any) -> Any:
    print("written by the job")
    return value


def fail() -> None:
    raise ValueError("of\nour own")


def refuse() -> None:
    raise InputError("a bad value")


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "a.npz")


def leave_python(code: int) -> None:
    sys.exit(code)


def leave_at_once() -> None:
    os._exit(0)


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def change_the_process() -> None:
    os.environ["POOL_TEST"] = "changed"
    os.chdir("/")
    sys.modules["pool_test"] = sys
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def look_at_the_process() -> tuple[str | None, str, bool, bool]:
    ignored = signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    return os.environ.get("POOL_TEST"), os.getcwd(), "pool_test" in sys.modules, ignored


def oom_score() -> int:
    with open("/proc/self/oom_score_adj") as file:
        return int(file.read())


def wait(path: str) -> None:
    """Write ``path`` at the start, and again when the job is asked to leave."""
    with open(path, "w") as file:
        file.write("begun")
    try:
        while received() is None:
            time.sleep(0.05)
    finally:
        with open(path, "w") as file:
            file.write("saved")
