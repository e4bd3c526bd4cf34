"""Write files completely or not at all: under another name, flushed to the disk, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import gethostname
from typing import IO, Any

import numpy as np

# The name of a file during writing: hidden, with the host and process that write it.
_PART = ".{name}.{host}-{pid}.part"


@contextmanager
def replacing(path: Path, mode: str = "wb", **options: Any) -> Iterator[IO[Any]]:
    """Open a new file that replaces ``path`` at the end of the block.

    The file is written in the folder of ``path`` and flushed to the disk before it is renamed. If
    the block fails, ``path`` does not change and no other file remains.

    Args:
        path: the file; its folder must exist.
        mode: "wb" or "w".
        options: of the built-in ``open``.

    Raises:
        OSError: the disk is full, or the folder is not writable; names ``path``.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with replacing(Path(folder, "a.txt"), "w") as file:
        ...         _ = file.write("all of it")
        ...     Path(folder, "a.txt").read_text(), len(list(Path(folder).iterdir()))
        ('all of it', 1)
    """
    part = part_of(path)
    try:
        with part.open(mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        rename(part, path)
    except OSError as error:
        if error.filename in (None, str(part)):  # the error of a failed write has no file name
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        with suppress(OSError):  # the first error has the reason
            part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """The name under which this process writes ``path`` before the file is complete."""
    return path.with_name(_PART.format(name=path.name, host=gethostname(), pid=os.getpid()))


def rename(part: Path, path: Path) -> None:
    """Rename a finished file, and flush the folder entry to the disk too."""
    os.replace(part, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_parts(*folders: Path) -> None:
    """Remove the unfinished files that killed processes of this machine left in ``folders``."""
    for folder in folders:
        for part in folder.glob(f".*.{gethostname()}-*.part"):
            pid = part.name.removesuffix(".part").rpartition("-")[2]
            # This process is not writing now.
            if pid.isdecimal() and (int(pid) == os.getpid() or not process_exists(int(pid))):
                part.unlink(missing_ok=True)


def process_exists(pid: int) -> bool:
    """Whether this machine has a process with a number; one that has ended does not count.

    The kernel keeps a process that has ended until its parent asks for its status.
    """
    try:
        os.kill(pid, 0)
        with suppress(OSError):  # not Linux
            state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
            return state not in (b"Z", b"X")
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, completely or not at all."""
    with replacing(path, "w", encoding="utf-8") as file:
        file.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, completely or not at all.

    Raises:
        ValueError: ``value`` contains NaN or infinity, which JSON does not have.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, Any], *, compressed: bool = False) -> None:
    """Write named arrays as an .npz without pickles, completely or not at all."""
    save = np.savez_compressed if compressed else np.savez
    with replacing(path) as file:
        save(
            file, allow_pickle=False, **{name: np.asarray(value) for name, value in arrays.items()}
        )


def sha256(path: Path) -> str:
    """The SHA-256 of the content of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum_of(contents: Mapping[str, Any]) -> str:
    """The SHA-256 of plain values, whatever the order of the keys."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def content_of(*files: Path) -> str | None:
    """One SHA-256 of the contents of files in this order; None if a file does not exist.

    Example:
        >>> content_of(Path("nowhere")) is None
        True
    """
    if not all(file.is_file() for file in files):
        return None
    return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()


def listing_of(folder: Path, names: Iterable[str]) -> str:
    """One SHA-256 of the names, sizes and modification times of files in ``folder``."""
    rows = []
    for name in names:
        state = (folder / name).stat()
        rows.append(f"{name}\0{state.st_size}\0{state.st_mtime_ns}")
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()
