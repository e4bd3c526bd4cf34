"""The free memory of this machine, and the memory that a process shares with no other process."""

from __future__ import annotations

import os
import resource
from pathlib import Path


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


def own_memory(pid: int | str = "self") -> int | None:
    """The bytes in memory that a process shares with no other process; None if unknown.

    A forked process shares the pages that neither it nor its parent has written since the fork.

    Source:
        proc_pid_smaps_rollup(5), Private_Clean and Private_Dirty.
    """
    fields = _kilobytes(f"/proc/{pid}/smaps_rollup")
    found = [size for name, size in fields.items() if name in ("Private_Clean", "Private_Dirty")]
    return 1024 * sum(found) if found else None


def own_peak() -> int | None:
    """The largest :func:`own_memory` of this process until now, in bytes; None if unknown.

    It is the current value plus the difference between the peak and the current resident memory.
    It is too large if the process has given back shared pages since its peak.
    """
    own, resident = own_memory(), _kilobytes("/proc/self/status")
    if own is None:
        return None
    return own + 1024 * (resident.get("VmHWM", 0) - resident.get("VmRSS", 0))


def _kilobytes(path: str) -> dict[str, int]:
    """The fields in kB of a file in /proc."""
    rows = [line.split(":", 1) for line in _words(path) if line.endswith(" kB")]
    return {name: int(value.split()[0]) for name, value in rows}
