"""Decode images once into a memory-mapped file that all runs on the same files share."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import PIL
import torchvision
from filelock import FileLock, Timeout
from jaxtyping import UInt8

from labelnoise.data.decoding import decode_into
from labelnoise.data.image_files import Colour
from labelnoise.data.memory import in_units
from labelnoise.errors import InputError
from labelnoise.files.writing import part_of, remove_parts, rename, write_json

log = logging.getLogger(__name__)

# Raise it if decoding gives other pixels or the files get another form.
VERSION = 1


def default_folder() -> Path:
    """The folder of the caches: ``labelnoise`` in the cache folder of the user.

    Source: the XDG Base Directory Specification, XDG_CACHE_HOME, which ignores relative paths.
    """
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (chosen if chosen.is_absolute() else Path.home() / ".cache") / "labelnoise"


@dataclass(frozen=True)
class Form:
    """The options that determine the pixels; see :func:`labelnoise.data.image_files.decode`."""

    size: int
    channels: int
    background: Colour


@dataclass(frozen=True)
class ImageCache:
    """Decoded images in the order of their list.

    Attributes:
        images: a read-only map of the file; an unreadable image is black.
        unreadable: the positions of the unreadable images, with the reasons.
        notes: for each key of ``NOTES`` the positions of the images.
    """

    images: UInt8[np.ndarray, "n c size size"]
    unreadable: dict[int, str]
    notes: dict[str, frozenset[int]]

    def count_notes(self, rows: Iterable[int]) -> Counter[str]:
        """The number of images at ``rows`` for each key of ``NOTES``."""
        chosen = set(rows)
        return +Counter({key: len(chosen & places) for key, places in self.notes.items()})


@dataclass(frozen=True)
class CacheFiles:
    """The files of a cache.

    Attributes:
        images: the pixels.
        facts: written last; a cache without it is not complete.
        lock: locked by the process that decodes.
    """

    images: Path
    facts: Path
    lock: Path

    @classmethod
    def of(cls, folder: Path, key: str) -> CacheFiles:
        return cls(*(folder / f"{key}{end}" for end in (".npy", ".json", ".lock")))


def key_of(root: Path, files: Sequence[str], form: Form) -> str:
    """32 hexadecimal digits for the names, sizes and times of the files and for the form.

    Raises:
        InputError: a file cannot be found.
    """
    versions = [VERSION, PIL.__version__, torchvision.__version__]
    key = hashlib.sha256(json.dumps([str(root.resolve()), asdict(form), versions]).encode())
    for name in files:
        try:
            state = (root / name).stat()
        except OSError as error:
            raise InputError(f"{root / name} cannot be read ({error.strerror})") from error
        times = f"{state.st_mtime_ns} {state.st_ctime_ns}"
        key.update(os.fsencode(f"{name}\0{state.st_size} {times}\n"))
    return key.hexdigest()[:32]


def cached(root: Path, files: Sequence[str], form: Form, folder: Path) -> ImageCache:
    """The decoded images of a list; they are decoded if no complete cache exists.

    Of several processes that start together one decodes, and the others wait.

    Args:
        root: the folder of the images.
        files: their names below ``root``.
        form: the form of the decoded images.
        folder: the folder of the caches; it is made if needed.

    Raises:
        InputError: the folder cannot be written, its disk is full, or the images change while they
            are decoded.
    """
    key = key_of(root, files, form)
    cache = CacheFiles.of(folder, key)
    found = _read(cache)
    if found is not None:
        log.info("%s: %d decoded images are read from %s", root, len(files), cache.images)
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(cache.lock, root):
            found = _read(cache, says_damage=False)  # another process may have decoded meanwhile
            if found is None:
                remove_parts(folder)
                _decode(root, files, form, cache)
                if key_of(root, files, form) != key:
                    cache.images.unlink()
                    cache.facts.unlink()
                    raise InputError(f"images in {root} changed while they were read: start again")
                found = _read(cache)
    except OSError as error:
        raise InputError(
            f"the image cache data.cache_dir={folder} cannot be written "
            f"({error.strerror or error}): write another data.cache_dir, or data.cache=memory"
        ) from error
    if found is None:
        raise InputError(f"{cache.images} changed after it was written: start again")
    return found


@contextmanager
def _locked(path: Path, root: Path) -> Iterator[None]:
    """Wait for other processes, with a line, and keep them out."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: another process decodes these images; this one waits", root)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _read(cache: CacheFiles, says_damage: bool = True) -> ImageCache | None:
    """A complete cache; None if there is none."""
    if not (cache.images.exists() or cache.facts.exists()):
        return None
    try:
        facts = json.loads(cache.facts.read_text(encoding="utf-8"))
        state = cache.images.stat()
        if [state.st_size, state.st_mtime_ns] != facts["state"]:
            raise ValueError("its length or time has changed")
        found = ImageCache(
            np.load(cache.images, mmap_mode="r", allow_pickle=False),
            {int(place): str(reason) for place, reason in facts["unreadable"].items()},
            {str(key): frozenset(places) for key, places in facts["notes"].items()},
        )
        if list(found.images.shape) != facts["shape"] or found.images.dtype != np.uint8:
            raise ValueError("it has another shape")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        if says_damage:
            why = " ".join(str(error).split())
            log.warning("%s is torn (%s): the images are decoded again", cache.images, why)
        return None
    with suppress(OSError):  # the cache of another user
        os.utime(cache.facts)  # the time of the last use
    return found


def _decode(root: Path, files: Sequence[str], form: Form, cache: CacheFiles) -> None:
    """Write the images and then the facts, each completely or not at all."""
    shape = (len(files), form.channels, form.size, form.size)
    size, folder = int(np.prod(shape)), cache.images.parent
    free = shutil.disk_usage(folder).free
    told = f"{len(files)} images of {' x '.join(map(str, shape[1:]))} bytes take {in_units(size)}"
    if size > free:
        raise InputError(
            f"{told} but only {in_units(free)} are free in data.cache_dir={folder}: write another "
            "data.cache_dir, a smaller data.image_size, or data.cache=memory; python -m "
            "labelnoise.report cache lists the caches"
        )
    log.info("%s: %s; they are decoded once into %s", root, told, cache.images)
    cache.facts.unlink(missing_ok=True)
    part = part_of(cache.images)
    try:
        images = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
        with part.open("r+b") as file:
            # A write to a map on a full disk would end the process.
            os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
            unreadable, found = decode_into(
                images, [root / name for name in files], form.background
            )
            images.flush()
            os.fsync(file.fileno())
        del images
        rename(part, cache.images)
    finally:
        part.unlink(missing_ok=True)
    notes = defaultdict(list)
    for place, keys in enumerate(found):
        for key in keys:
            notes[key].append(place)
    state = cache.images.stat()
    facts = {
        "root": str(root.resolve()),
        "shape": shape,
        "state": [state.st_size, state.st_mtime_ns],
        "unreadable": unreadable,
        "notes": notes,
    }
    write_json(cache.facts, facts)
