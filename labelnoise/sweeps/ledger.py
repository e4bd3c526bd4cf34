"""``ledger.jsonl`` of a sweep: one line for each event, readable while the sweep runs."""

from __future__ import annotations

import json
import math
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from typing import Any

from filelock import FileLock
from omegaconf import DictConfig

from labelnoise.config.composition import config_hash
from labelnoise.config.score import Name
from labelnoise.errors import BusyError
from labelnoise.files.writing import checksum_of
from labelnoise.processes.worker import INTERRUPTED, INTERRUPTED_STATUS

Event = dict[str, Any]
# The statuses with which a job ends.
FINAL = ("finished", "failed", "interrupted", "killed")
# The keys that every event of a sweep (its start) and every event of a job have.
_KEYS = {
    "sweep": ("jobs", "at_once", "start"),
    "job": ("job", "config_hash", "overrides", "host", "pid", "start"),
}
# The name of the attempt that a launcher makes in this process; None outside a launcher.
_launch: str | None = None


@dataclass
class Entry:
    """The result of a job, for its last line in the ledger."""

    score: float = math.nan
    score_name: Name = "val_acc"
    read: bool = False


def ledger_of(sweep: Path) -> Path:
    """The ledger in the folder of a sweep."""
    return sweep / "ledger.jsonl"


@contextmanager
def recorded(
    folder: Path, hashed: str | None, overrides: Sequence[str], result: str = "summary.json"
) -> Iterator[Entry]:
    """Record the start and the end of the job in ``folder``; the block sets the score.

    A job that was finished before gets only a last line, with ``read``. If another process runs the
    job, the status of the last line is ``left``.

    Args:
        folder: the folder of the job in the folder of the sweep.
        hashed: the hash of its configuration; None if the configuration has none.
        overrides: its options.
        result: the file that a finished job has.
    """
    event = job_event(folder, hashed, overrides)
    entry = Entry(read=(folder / result).exists())
    if not entry.read:
        append(folder.parent, event | {"status": "started"})
    try:
        yield entry
    except BusyError:
        append(folder.parent, event | ended("left", "another process runs the job"))
        raise
    except Exception as error:
        append(folder.parent, event | ended("failed", _reason(error)))
        raise
    except SystemExit as error:
        stopped = error.code in INTERRUPTED_STATUS
        why = INTERRUPTED.reason if stopped else f"the job called sys.exit({error.code!r})"
        append(folder.parent, event | ended("interrupted" if stopped else "failed", why))
        raise
    append(
        folder.parent,
        event | {"read": entry.read} | _scored(entry) | ended("finished", None),
    )


@contextmanager
def refusal_recorded(folder: Path, hashed: str | None, overrides: Sequence[str]) -> Iterator[None]:
    """Record a job that the block refuses before its start."""
    try:
        yield
    except Exception as error:
        event = job_event(folder, hashed, overrides)
        append(folder.parent, event | ended("failed", _reason(error)))
        raise


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def hash_of(cfg: DictConfig) -> str | None:
    """The hash of a configuration; None if it cannot be resolved, which the job reports."""
    try:
        return config_hash(cfg)
    except Exception:
        return None


def job_event(folder: Path, hashed: str | None, overrides: Sequence[str]) -> Event:
    """The part of an event that names the job and its process."""
    return {
        "job": int(folder.name) if folder.name.isdecimal() else folder.name,
        "config_hash": hashed,
        "overrides": list(overrides),
        "host": host(),
        "pid": os.getpid(),
        "launch": _launch,
        "start": now(),
    }


def set_launch(launch: str) -> None:
    """Name the attempt of a launcher, in the process of the job."""
    global _launch
    _launch = launch


def _scored(entry: Entry) -> Event:
    """The part of an event with the score, which is null if the run has none."""
    score = None if math.isnan(entry.score) else entry.score
    return {"score": score, "score_name": entry.score_name}


def ended(status: str, reason: str | None) -> Event:
    """The part of an event that describes the end of a job in this process."""
    kilo = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS
    peak = kilo * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "status": status,
        "reason": reason,
        "end": now(),
        "peak_mb": round(peak / 2**20, 1),
    }


def host() -> str:
    """The name of this machine."""
    return gethostname()


def now() -> str:
    """The current time in UTC, to the millisecond.

    Example:
        >>> now().endswith("+00:00")
        True
    """
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def append(sweep: Path, event: Event) -> None:
    """Append a line to the ledger; a line that a killed process cut off stays separate."""
    plain = json.loads(json.dumps(event, default=str))
    line = json.dumps(plain | {"sha256": checksum_of(plain)}) + "\n"
    path = ledger_of(sweep)
    with FileLock(sweep / ".ledger.lock"):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = "\n" + line
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def read_events(sweep: Path) -> tuple[list[Event], int]:
    """The events in the ledger of a sweep, and the number of lines that are cut off or damaged."""
    try:
        lines = ledger_of(sweep).read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], 0
    events, damaged = list[Event](), 0
    for line in filter(None, lines):
        try:
            event = dict(json.loads(line))
            if event.pop("sha256", None) not in (None, checksum_of(event)):
                raise ValueError("its checksum differs")
            kind = "sweep" if event["status"] == "sweep" else "job"
            events.append({key: event[key] for key in _KEYS[kind]} | event)
        except (ValueError, KeyError, TypeError):
            damaged += 1
    return events, damaged


def hashes_of_jobs(sweep: Path) -> dict[str, set[str]]:
    """The hashes of the configurations of the jobs in each folder, by the name of the folder.

    Empty if the ledger is damaged, because a lost line may have the hash of a folder.
    """
    found: dict[str, set[str]] = {}
    events, damaged = read_events(sweep)
    for event in [] if damaged else events:
        if event.get("config_hash") is not None:
            found.setdefault(str(event["job"]), set()).add(event["config_hash"])
    return found
