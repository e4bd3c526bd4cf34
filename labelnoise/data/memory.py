"""How much memory is free, and refusing what does not fit before any of the work is done."""

from __future__ import annotations

import os
from pathlib import Path

from labelnoise.errors import InputError

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def available_memory() -> int | None:
    """Bytes that processes here can still take, a container's limit counted in; None if unknown.

    Source:
        proc(5), MemAvailable; the kernel's cgroup-v2 and cgroup-v1 memory documents.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        free = 1024 * int(fields["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        try:  # all there is, which is no less than what is free
            free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            return None
    limits = [_left(folder, *names) for folder in _cgroups() for names in _CGROUP_FILES]
    return min([free, *(limit for limit in limits if limit is not None)])


# The limit, what is used, and how the files' cache, which gives way, is called in memory.stat.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def _cgroups() -> list[Path]:
    """The folders of this process's control groups, and of those above them."""
    folders = []
    for line in _words("/proc/self/cgroup"):
        _, controllers, place = line.split(":", 2)
        top = Path("/sys/fs/cgroup", "memory" if controllers else "")
        if controllers in ("", "memory"):
            own = top / place.lstrip("/")
            folders += [own, *(above for above in own.parents if above.is_relative_to(top))]
    return folders


def _left(folder: Path, limit: str, used: str, cache: str) -> int | None:
    """Bytes below a group's limit; None where it has none."""
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


def check_fits(needed: int, what: str, instead: str) -> str:
    """Refuse what takes more memory than is free.

    Args:
        needed: bytes, all copies that are held at once.
        what: takes them, in the plural.
        instead: to write, as a command.

    Returns:
        The line that says how much is taken of how much.

    Raises:
        InputError: ``needed`` is more than what is free.
    """
    free = available_memory()
    line = f"{what} take {in_units(needed)} of memory"
    if free is None:
        return line
    if needed > free:
        raise InputError(f"{line} and {in_units(free)} are free: {instead}")
    return f"{line}, {in_units(free)} are free"
