"""Call a door with wrong words in a forked process, and look at its output and at the files."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import shlex
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from hydra import compose as hydra_compose

from labelnoise.config.composition import compose_config
from tests.remembered import Remembered

DOORS = {
    "run": ("run.py", "labelnoise.doors.run:main"),
    "audit": ("audit.py", "labelnoise.doors.audit:main"),
    "map": ("phase_diagram.py", "labelnoise.doors.phase_diagram:main"),
    "report": ("labelnoise-report", "labelnoise.report.__main__:command"),
}
# A door imports these modules late. A process that forks has imported them once for all rows.
LATE = (
    "labelnoise.training.train",
    "labelnoise.audit.audit",
    "labelnoise.phase_diagram.run",
    "labelnoise.report.pictures.metric",
    "labelnoise.report.tables.paired",
    "labelnoise.sweeps.search",
)
# The files of conf/, which are read once for all rows.
REMEMBERED = Remembered(hydra_compose)
# The files of a folder, as they were after the last call if it changed none.
_KNOWN: dict[Path, dict[str, tuple[int, ...]]] = {}
# A call that does not end is killed after so many seconds.
LONGEST = 120


# The log may have lines about the data before the error, but none with these words.
NOT_AROUND = ("Traceback", "Warning", "rror:")


@dataclass(frozen=True)
class Row:
    """Wrong words for a door, and the parts that the line must have.

    Attributes:
        door: a key of ``DOORS``.
        words: the words as in a shell.
        value: the wrong value in the line.
        cure: the allowed values, or the remedy.
        before: right words that come before; a key in ``words`` replaces them.
    """

    door: str
    words: str
    value: str
    cure: str
    before: str = ""

    @property
    def typed(self) -> list[str]:
        """All words of the command line."""
        own = shlex.split(self.words)
        keys = {word.partition("=")[0] for word in own}
        right = [w for w in shlex.split(self.before) if w.partition("=")[0] not in keys]
        return [*own, *right] if own and own[0].startswith("-") else [*right, *own]


def rows(door: str, table: dict[str, str], before: str = "") -> list[Row]:
    """The rows of a table with the cure, or with "VALUE | CURE", for the words.

    The value is by default what follows the last "=" in the words.
    """
    found = []
    for words, said in table.items():
        value, bar, cure = said.partition(" | ")
        if not bar:
            value, cure = (shlex.split(words) or [""])[-1].rpartition("=")[2], said
        found.append(Row(door, words, value, cure, before))
    return found


@dataclass(frozen=True)
class Ended:
    """The end of a call.

    Attributes:
        status: the exit status; negative for a signal.
        changed: the files that the call made, changed or removed.
    """

    status: int
    stdout: str
    stderr: str
    changed: list[str]

    def faults(self, row: Row) -> list[str]:
        """The faults of this end of the row; empty for one line that says enough."""
        *log, line = self.stderr.removesuffix("\n").split("\n")
        around = "\n".join(log) + self.stdout
        found = []
        if self.status != 1:
            found.append(f"exit status {self.status}")
        if not line.startswith("error: "):
            found.append(f"the last line is no error: {self.stderr!r}")
        found += [f"the line has no {part!r}" for part in (row.value, row.cure) if part not in line]
        found += [f"{word} around the line" for word in NOT_AROUND if word in around]
        found += [f"changed {name}" for name in self.changed]
        return found


def call(door: str, words: list[str], folder: Path) -> Ended:
    """Run a door in a forked process with the working directory ``folder``."""
    before = _KNOWN.pop(folder, None) or files_in(folder)
    streams = [folder.parent / f"{folder.name}.{name}" for name in ("stdout", "stderr")]
    pid = os.fork()
    if pid == 0:
        _child(door, words, folder, streams)
    _, status = os.waitpid(pid, 0)
    with suppress(ProcessLookupError):  # the processes that it started and left
        os.killpg(pid, signal.SIGKILL)
    after = files_in(folder)
    shutil.rmtree(folder / "out", ignore_errors=True)
    stdout, stderr = (path.read_text(errors="replace") for path in streams)
    changed = sorted(name for name in before.keys() | after if before.get(name) != after.get(name))
    if not changed:
        _KNOWN[folder] = after
    return Ended(os.waitstatus_to_exitcode(status), stdout, stderr, changed)


def files_in(folder: Path) -> dict[str, tuple[int, ...]]:
    """Size, time and mode of all files and folders, except in ``home``, logs and locks."""
    found: dict[str, tuple[int, ...]] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not name.startswith("home") and path.name not in ("run.log", ".lock"):
            stat = path.lstat()
            time_ns = stat.st_mtime_ns if path.is_file() else 0
            found[name] = (stat.st_size if path.is_file() else 0, time_ns, stat.st_mode)
    return found


def _child(door: str, words: list[str], folder: Path, streams: list[Path]) -> None:
    code: object = 70
    os.setsid()
    try:
        for number, path in enumerate(streams, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", closefd=False) for n in (1, 2))
        _plain_process(folder)
        script, entry = DOORS[door]
        sys.argv = [script, *words]
        with REMEMBERED.remembered_files():
            code = _exit_code(entry_point(entry))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def _exit_code(entry: Callable[[], None]) -> object:
    try:
        entry()
    except SystemExit as leaving:
        return leaving.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
        return 70
    return 0


def _plain_process(folder: Path) -> None:
    """Undo the settings of pytest, and take the rights of an ordinary user."""
    for logger in (logging.getLogger(name) for name in [None, *logging.root.manager.loggerDict]):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler):
                handler.stream = sys.stderr
    warnings.resetwarnings()
    warnings.simplefilter("default")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.alarm(LONGEST)
    os.chdir(folder)
    os.environ["HOME"] = os.environ["XDG_CACHE_HOME"] = str(folder / "home")
    os.environ.pop("HYDRA_FULL_ERROR", None)
    drop_capabilities()


def drop_capabilities() -> None:
    """Let the modes of files and folders count for root too."""
    if hasattr(libc := ctypes.CDLL(None), "capset"):
        version_3 = (ctypes.c_uint32 * 2)(0x20080522, 0)
        libc.capset(version_3, (ctypes.c_uint32 * 6)())


def entry_point(name: str) -> Callable[[], None]:
    module, _, function = name.partition(":")
    found: Callable[[], None] = getattr(import_module(module), function)
    return found


def warm_up() -> None:
    """Import what the doors import and read conf/ once, so that a forked process need not."""
    torch.set_num_threads(1)
    for _, entry in DOORS.values():
        entry_point(entry)
    for module in LATE:
        import_module(module)
    with REMEMBERED.remembered_files():
        for config in ("config", "audit", "phase_diagram"):
            compose_config(config, [])
    gc.freeze()  # a forked process then copies fewer pages
