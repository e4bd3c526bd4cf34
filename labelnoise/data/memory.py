"""Measure the free memory, and refuse data that do not fit before they are read."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from labelnoise.errors import InputError

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def available_memory() -> int | None:
    """Free memory in bytes, within the limits of a container and of ``ulimit``; None if unknown.

    Source:
        proc(5), MemAvailable; the kernel's cgroup-v2 and cgroup-v1 memory documents; getrlimit(2).
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        free = 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        try:  # the total memory instead of the free memory
            free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            return None
    limits = [_left(folder, *names) for folder in _cgroups() for names in _CGROUP_FILES]
    limits += [_left_of_process(limit, used) for limit, used in _PROCESS_LIMITS]
    return min([free, *(limit for limit in limits if limit is not None)])


# Files of the limit and of the used memory, and the key of the reclaimable cache in memory.stat.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


# Limits of a process (ulimit -d and -v), and the used memory in /proc/self/status.
_PROCESS_LIMITS = ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize"))


def _left_of_process(limit: int, used: str) -> int | None:
    """Bytes left below a limit of this process; None without a limit."""
    most, _ = resource.getrlimit(limit)
    if most == resource.RLIM_INFINITY:
        return None
    fields = dict(line.split(":", 1) for line in _words("/proc/self/status"))
    return max(0, most - 1024 * int(fields.get(used, "0").split()[0]))


def _cgroups() -> list[Path]:
    """The folders of the control groups of this process, and of their parents."""
    folders = []
    for line in _words("/proc/self/cgroup"):
        _, controllers, place = line.split(":", 2)
        top = Path("/sys/fs/cgroup", "memory" if controllers else "")
        if controllers in ("", "memory"):
            own = top / place.lstrip("/")
            folders += [own, *(above for above in own.parents if above.is_relative_to(top))]
    return folders


def _left(folder: Path, limit: str, used: str, cache: str) -> int | None:
    """Bytes left below the limit of a group; None without a limit."""
    try:
        most, now = int((folder / limit).read_text()), int((folder / used).read_text())
    except (OSError, ValueError):  # no such file, or the word max
        return None
    stat = dict(line.split(" ", 1) for line in _words(folder / "memory.stat"))
    return max(0, most - now + int(stat.get(cache, 0)))


def _words(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def in_units(size: float) -> str:
    """A number of bytes in words.

    Example:
        >>> in_units(12), in_units(184_320_000), in_units(4.4e9)
        ('12 bytes', '184 MB', '4.4 GB')
    """
    place = 0
    while size >= 1000 and place < len(UNITS) - 1:
        size, place = size / 1000, place + 1
    return f"{size:.0f} {UNITS[place]}" if size >= 100 else f"{size:.3g} {UNITS[place]}"


def check_fits(needed: int, contents: str, advice: str) -> str:
    """Refuse data that need more memory than is free.

    Args:
        needed: bytes of all simultaneous copies.
        contents: the data in words, in the plural.
        advice: the remedy, for the message.

    Returns:
        A line with the needed and the free memory.

    Raises:
        InputError: ``needed`` is more than the free memory.
    """
    free = available_memory()
    line = f"{contents} take {in_units(needed)} of memory"
    if free is None:
        return line
    if needed > free:
        raise InputError(f"{line} but only {in_units(free)} are free: {advice}")
    return f"{line}, {in_units(free)} are free"
