"""The kinds of faults: each is a function that starts the command of a case and disturbs it."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults import mounts
from tests.faults.doors import Case
from tests.faults.process import Outcome, wait_for_orphans

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# Files and folders that show a run and are not read again, so the harness does not damage them.
# People may edit suspects.csv of a run; that of an audit has a checksum.
NOT_DAMAGED = {"run.log", "output.log", "tensorboard", "figures"}


@contextmanager
def signalled(case: Case, number: int) -> Iterator[None]:
    """Send a signal to the command at a random moment, one to three times."""
    shares = [_moment(case.draw) for _ in range(case.draw.choice([1, 1, 2, 3]))]
    case.hit = f"after {', '.join(f'{share:.0%}' for share in shares)} of the time"
    for share in shares:
        command = case.start()
        time.sleep(share * case.seconds)
        command.send(number)
        _check_signalled(case, command.end(), number)
    yield


@contextmanager
def child_signalled(case: Case) -> Iterator[None]:
    """Send a signal to a random process that the command has started."""
    share, number = _moment(case.draw), case.draw.choice(SIGNALS)
    case.hit = f"{number.name} to a child after {share:.0%} of the time"
    command = case.start()
    time.sleep(share * case.seconds)
    if children := command.descendants():
        place = case.draw.randrange(len(children))
        case.hit += f", process {place + 1} of {len(children)}"
        try:
            os.kill(children[place], number)
        except ProcessLookupError:
            case.hit += ", which had ended"
    _check_refused_or_done(case, command.end())
    yield


@contextmanager
def killed_at_a_rename(case: Case) -> Iterator[None]:
    """Kill a process of the command just before or after it renames a finished file."""
    number, before = case.draw.randint(1, 14), case.draw.random() < 0.5
    case.hit = f"SIGKILL {'before' if before else 'after'} rename {number} of a process"
    rename, count = os.replace, iter(range(1, 10**6))

    def replace(*args: str) -> None:
        reached = next(count) == number
        if reached and before:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*args)
        if reached:
            os.kill(os.getpid(), signal.SIGKILL)

    outcome = case.start(lambda: setattr(os, "replace", replace)).end()
    if outcome.status != -signal.SIGKILL:
        _check_refused_or_done(case, outcome)
    yield


@contextmanager
def limited_files(case: Case) -> Iterator[None]:
    """Let every process of the command fail to write more than some bytes to a file."""
    limit = int(10 ** case.draw.uniform(2.5, 5.5))
    case.hit = f"{limit} bytes a file"
    limits = (limit, resource.RLIM_INFINITY)
    outcome = case.start(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)).end()
    _check_refused_or_done(case, outcome)
    yield


@contextmanager
def small_disk(case: Case) -> Iterator[None]:
    """Give the command a disk that becomes full, and make room afterwards."""
    size = int(10 ** case.draw.uniform(0.7, 3))
    case.hit = f"a disk of {size} kB"
    with mounts.disk_in_memory(case.folder, size):
        _check_refused_or_done(case, case.start().end())
        mounts.enlarge(case.folder)
        yield


@contextmanager
def read_only(case: Case) -> Iterator[None]:
    """Kill the command, make a random folder read-only, and give the command again."""
    _killed(case)
    case.run.mkdir(parents=True, exist_ok=True)
    folder = case.draw.choice([case.folder, case.run, *_folders(case.run)])
    case.hit += f", {folder.relative_to(case.folder.parent)} read-only"
    with mounts.read_only(folder):
        _check_refused_or_done(case, case.start().end())
    yield


@contextmanager
def damaged(case: Case, how: Callable[[Path, random.Random], None]) -> Iterator[None]:
    """Kill the command, and damage one of its files."""
    _killed(case)
    if files := [path for path in sorted(case.run.rglob("*")) if _can_be_damaged(path, case.run)]:
        case.target = case.draw.choice(files)
        how(case.target, case.draw)
        case.hit += f", {case.target.relative_to(case.run)}"
    yield


@contextmanager
def folder_removed(case: Case) -> Iterator[None]:
    """Kill the command, and remove one of its folders."""
    _killed(case)
    if folders := _folders(case.run):
        case.target = case.draw.choice(folders)
        shutil.rmtree(case.target)
        case.hit += f", {case.target.relative_to(case.run)}"
    yield


@contextmanager
def two_at_once(case: Case) -> Iterator[None]:
    """Give the command a second time while it runs."""
    share = case.draw.choice([0.0, _moment(case.draw)])
    case.hit = f"the second after {share:.0%} of the time"
    first = case.start()
    time.sleep(share * case.seconds)
    second = case.start()
    for command in (first, second):
        outcome = command.end()
        if outcome.status != 0 and not is_busy(outcome):
            case.wrong = str(outcome)
    yield


def is_busy(outcome: Outcome) -> bool:
    """Whether the command refuses because another process works in its folder."""
    return outcome.is_one_line_refusal and "another process" in outcome.stderr


def _moment(draw: random.Random) -> float:
    """A share of the duration: at the start, in the middle or at the end."""
    return draw.uniform(*draw.choice([(0.0, 0.2), (0.2, 0.8), (0.8, 1.05)]))


def _killed(case: Case) -> None:
    """Kill the command at a random moment, and wait for its processes."""
    share = case.draw.uniform(0.1, 1.4)
    case.hit = f"killed after {share:.0%} of the time" if share < 1 else "after the end"
    command = case.start()
    if share < 1:
        time.sleep(share * case.seconds)
        command.send(signal.SIGKILL)
    command.end()
    wait_for_orphans()


def _check_signalled(case: Case, outcome: Outcome, number: int) -> None:
    allowed = {0, -number} if number == signal.SIGKILL else {0, -number, 128 + number}
    starting = outcome.has_traceback and "labelnoise/doors" not in outcome.stderr
    if is_busy(outcome) or starting:
        return
    if outcome.status not in allowed or outcome.has_traceback:
        case.wrong = str(outcome)


def _check_refused_or_done(case: Case, outcome: Outcome) -> None:
    if outcome.status != 0 and not outcome.is_one_line_refusal:
        case.wrong = str(outcome)


def _can_be_damaged(path: Path, run: Path) -> bool:
    return (
        path.is_file()
        and not NOT_DAMAGED & set(path.relative_to(run).parts)
        and not (path.name == "suspects.csv" and (path.parent / "dynamics").exists())
        and not path.name.endswith(".lock")
        and path.stat().st_size > 0
    )


def _folders(run: Path) -> list[Path]:
    return [
        path
        for path in sorted(run.rglob("*"))
        if path.is_dir() and not NOT_DAMAGED & set(path.relative_to(run).parts)
    ]


def _cut(path: Path, draw: random.Random) -> None:
    os.truncate(path, draw.randrange(path.stat().st_size))


def _flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def _remove(path: Path, draw: random.Random) -> None:
    path.unlink()


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        disturb: causes it; the case can be continued inside the block.
        needs_children: whether it is only for commands that compute in processes of their own.
        needs_mount: whether it needs the right to mount.
    """

    disturb: Callable[[Case], AbstractContextManager[None]]
    needs_children: bool = False
    needs_mount: bool = False


KINDS = {
    "SIGKILL": Kind(partial(signalled, number=signal.SIGKILL)),
    "SIGTERM": Kind(partial(signalled, number=signal.SIGTERM)),
    "SIGINT": Kind(partial(signalled, number=signal.SIGINT)),
    "signal to a child": Kind(child_signalled, needs_children=True),
    "kill at a rename": Kind(killed_at_a_rename),
    "file-size limit": Kind(limited_files),
    "small disk": Kind(small_disk, needs_mount=True),
    "read-only folder": Kind(read_only, needs_mount=os.geteuid() == 0),
    "cut file": Kind(partial(damaged, how=_cut)),
    "flipped bit": Kind(partial(damaged, how=_flip)),
    "removed file": Kind(partial(damaged, how=_remove)),
    "removed folder": Kind(folder_removed),
    "two at once": Kind(two_at_once),
}
