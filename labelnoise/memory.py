"""How much memory is free, asked before a run takes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labelnoise.errors import InputError

_MEMINFO, _OWN_GROUPS, _GROUPS = Path("/proc/meminfo"), Path("/proc/self/cgroup"), "/sys/fs/cgroup"
_MEBIBYTE = 2**20


def check_fits(needed: int, what: str, advice: str) -> None:
    """Refuse data that would take more memory than is free, before any of it is taken.

    Args:
        needed: bytes.
        what: takes them, for the message: "data.n=1000000 with data.d=800".
        advice: what to write instead.

    Raises:
        InputError: with both numbers.

    Example:
        >>> check_fits(10**18, "data.n=10", "write a smaller data.n")
        Traceback (most recent call last):
        ...
        labelnoise.errors.InputError: data.n=10 takes 953,674,316,406 MiB of memory and ...
    """
    free = available_memory()
    if free is not None and needed > free:
        raise InputError(
            f"{what} takes {needed // _MEBIBYTE:,} MiB of memory and {free // _MEBIBYTE:,} MiB are "
            f"free: {advice}"
        )


def available_memory() -> int | None:
    """Bytes that this process may still take; None on a system that does not tell."""
    free = [_of_machine(), *_of_groups()]
    return min((number for number in free if number is not None), default=None)


def _of_machine() -> int | None:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def _of_groups() -> Iterator[int]:
    """What the limits of this process's control groups leave, of version 1 and 2."""
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = Path(_GROUPS), ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = Path(_GROUPS, "memory")
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # A container often sees its own group as the root.
        for folder in {root / path.lstrip("/"), root}:
            try:
                limit, used = (int((folder / name).read_text()) for name in names[:2])
                stat = dict(x.split() for x in (folder / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # not there, or no limit: "max"
                continue
            yield limit - used + int(stat.get(names[2], 0))  # files kept in memory give way
