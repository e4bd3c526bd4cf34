"""Start a command in a forked process, which has imported everything already, and wait for it."""

from __future__ import annotations

import ctypes
import importlib
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Longer than any command here takes; a command that waits for ever is a defect.
TIME_LIMIT = 150.0
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status (minus the signal that killed it) and its output."""

    status: int
    stderr: str

    @property
    def is_one_line_refusal(self) -> bool:
        """Whether the command ended with status 1 and one line ``error: ...``, after other text."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return self.status == 1 and len(lines) == 1 and not self.has_traceback

    @property
    def has_traceback(self) -> bool:
        return "Traceback" in self.stderr

    def __str__(self) -> str:
        return f"exit {self.status}: {self.stderr[-1500:]}"


class Command:
    """A running command.

    Args:
        script: the name of the script, as ``run.py``.
        words: the words of the command line.
        log: the file for its output.
        prepare: called in the new process before the script.
    """

    def __init__(
        self,
        script: str,
        words: Sequence[str],
        log: Path,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.log = log
        self.pid = os.fork()
        if self.pid == 0:
            _child(script, words, log, prepare)

    def send(self, number: int) -> None:
        """Send a signal to the process."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def descendants(self) -> list[int]:
        """The processes that this process has started, and theirs."""
        found = [self.pid]
        for pid in found:  # grows
            with suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found[1:]

    def end(self) -> Outcome:
        """Wait for the process.

        Raises:
            TimeoutError: the process does not end.
        """
        until = time.monotonic() + TIME_LIMIT
        while not (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() > until:
                for pid in (*self.descendants(), self.pid):
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(f"no end in {TIME_LIMIT:.0f} s: {self.log.read_text()[-1500:]}")
            time.sleep(0.005)
        status = os.waitstatus_to_exitcode(found[1])
        return Outcome(status, self.log.read_text(errors="replace"))


def _child(script: str, words: Sequence[str], log: Path, prepare: Callable[[], None]) -> None:
    """Run the script; never returns."""
    code = 1
    try:
        with log.open("w") as out:
            for stream in (1, 2):
                os.dup2(out.fileno(), stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        util.spawnv_passfds = _fork_server  # type: ignore[assignment]
        prepare()
        sys.argv = [str(ROOT / script), *words]
        runpy.run_path(str(ROOT / script), run_name="__main__")
        code = 0
        log.with_suffix(".modules").write_text("\n".join(sys.modules))
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _fork_server(path: str, args: Sequence[str], passfds: Sequence[int]) -> int:
    """Start a server process of multiprocessing as a fork, which needs no seconds for its imports.

    It runs the same code as the server that Python would start, and has the same parent, children,
    limits and signals.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) not in passfds:
                with suppress(OSError):
                    os.close(int(name))
        sys.modules.pop("labelnoise.processes.server", None)  # it prepares the server on import
        exec(args[-1], {"__name__": "server"})
    finally:
        os._exit(0)


def adopt_orphans() -> None:
    """Become the parent of the processes that killed commands leave behind (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans() -> bool:
    """Let the ended ones of the adopted processes go, as init does; whether all have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return False
    return True


def wait_for_orphans() -> None:
    """Wait until the processes that killed commands left have ended."""
    until = time.monotonic() + TIME_LIMIT
    while not reap_orphans():
        if time.monotonic() > until:
            raise TimeoutError("a killed command left a process that does not end")
        time.sleep(0.005)


def import_all(names: Sequence[str]) -> None:
    """Import the modules that commands import, once for all of them."""
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)
