"""A table of the image caches on the disk, and their removal."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from labelnoise.data.image_cache import CacheFiles, default_folder
from labelnoise.data.memory import in_units
from labelnoise.errors import InputError
from labelnoise.files.writing import remove_parts

# The names of the files of a cache; all other files in the folder are left alone.
NAME = re.compile(r"([0-9a-f]{32})\.(npy|json|lock)")


@dataclass(frozen=True)
class Cached:
    """A cache on the disk.

    Attributes:
        files: its files.
        bytes: the size of its images.
        images: the number of images; None if it is not complete.
        root: the folder of the images; empty if it is not complete.
        used: the time of the last use.
    """

    files: CacheFiles
    bytes: int
    images: int | None
    root: str
    used: datetime


def find_caches(folder: Path) -> list[Cached]:
    """The caches in a folder, the one used last first."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    keys = dict.fromkeys(match[1] for name in names if (match := NAME.fullmatch(name)))
    found = [_cached(CacheFiles.of(folder, key)) for key in keys]
    return sorted(found, key=lambda cache: cache.used, reverse=True)


def _cached(files: CacheFiles) -> Cached:
    images, root = None, ""
    try:
        facts = json.loads(files.facts.read_text(encoding="utf-8"))
        images, root = int(facts["shape"][0]), str(facts["root"])
    except (OSError, ValueError, LookupError, TypeError):
        pass  # not complete
    size = files.images.stat().st_size if files.images.exists() else 0
    times = [path.stat().st_mtime for path in vars(files).values() if path.exists()]
    used = files.facts.stat().st_mtime if images is not None else max(times, default=0)
    return Cached(files, size, images, root, datetime.fromtimestamp(used))


def remove_cache(files: CacheFiles) -> bool:
    """Remove a cache unless a process is writing it; running readers keep their pages.

    Returns:
        Whether it was removed.
    """
    lock = FileLock(files.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    try:
        for path in (files.facts, files.images, files.lock):
            path.unlink(missing_ok=True)
    finally:
        lock.release()
    return True


def report_caches(dir: Path | None = None, clear: bool = False) -> str:
    """A line for each cache, with its size, number of images, last use and folder of the images.

    Args:
        dir: the folder of the caches; None is the default folder.
        clear: remove the caches that no process is writing.

    Raises:
        InputError: ``dir`` is not a folder.
        OSError: the folder cannot be read or changed.
    """
    folder = default_folder() if dir is None else dir
    if dir is not None and not dir.is_dir():
        raise InputError(f"--dir {dir} is not a folder: give the data.cache_dir of the runs")
    caches = find_caches(folder)
    lines = [_line(cache) for cache in caches if cache.bytes]
    total = f"{in_units(sum(cache.bytes for cache in caches))} in {folder}"
    if not clear:
        return "\n".join([*lines, f"{len(lines)} image caches, {total}"])
    busy = [cache for cache in caches if not remove_cache(cache.files)]
    remove_parts(folder)
    removed = [cache.bytes for cache in caches if cache.bytes and cache not in busy]
    line = f"removed {len(removed)} image caches, {in_units(sum(removed))}, from {folder}"
    return f"{line}; {len(busy)} are being written and stay" if busy else line


def _line(cache: Cached) -> str:
    images = "not complete" if cache.images is None else f"{cache.images} images"
    used = cache.used.strftime("%Y-%m-%d %H:%M")
    return f"{in_units(cache.bytes):>10}  {images:>16}  last use {used}  {cache.root}"
