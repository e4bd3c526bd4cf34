"""A small disk and a read-only folder, by mounts; the superuser may write whatever chmod says."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

_CLONE_NEWNS = 0x00020000


def _call(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@cache
def can_mount() -> bool:
    """Whether this process may mount; its mounts are then its own and end with it (Linux)."""
    try:
        if ctypes.CDLL(None).unshare(_CLONE_NEWNS) != 0:
            return False
        _call("mount", "--make-rprivate", "/")
        with TemporaryDirectory() as folder:
            _call("mount", "-t", "tmpfs", "-o", "size=64k", "none", folder)
            _call("umount", folder)
    except (OSError, AttributeError, subprocess.CalledProcessError):
        return False
    return True


@contextmanager
def disk_in_memory(folder: Path, kilobytes: int) -> Iterator[None]:
    """Mount a disk of this size at ``folder``."""
    folder.mkdir()
    _call("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder))
    try:
        yield
    finally:
        _call("umount", "--lazy", str(folder))


def enlarge(folder: Path) -> None:
    """Make room on a disk of :func:`disk_in_memory`."""
    _call("mount", "-o", "remount,size=1g", str(folder))


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder and all folders in it read-only.

    For the superuser the folder is mounted on itself, read-only. For others the rights are removed.
    """
    if os.geteuid() != 0:
        inside = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for path in reversed(inside):
            path.chmod(0o555)
        try:
            yield
        finally:
            for path in inside:
                path.chmod(0o755)
        return
    _call("mount", "--bind", str(folder), str(folder))
    try:
        _call("mount", "-o", "remount,bind,ro", str(folder))
        yield
    finally:
        _call("umount", "--lazy", str(folder))
