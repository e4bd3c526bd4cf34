"""Decode many image files on several threads, and find the files that cannot be decoded."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from labelnoise.data.image_files import WHITE, Colour, decode
from labelnoise.errors import InputError

FILES_PER_TASK = 64
# A longer message could not be read; data.unreadable=skip writes all files to a list.
NAMED = 1000


def decode_all(
    paths: Sequence[Path], size: int, background: Colour = WHITE, channels: int = 3
) -> tuple[UInt8[Tensor, "n c size size"], Counter[str]]:
    """Decode files on several threads into one tensor; see :func:`decode`.

    Returns:
        The images, and the number of images for each key of ``NOTES``.

    Raises:
        InputError: files cannot be read; names all of them.
    """
    output = np.empty((len(paths), channels, size, size), dtype=np.uint8)
    failures, notes = decode_into(output, paths, background)
    if failures:
        raise InputError(describe_unreadable(failures, paths))
    return torch.from_numpy(output), Counter(note for found in notes for note in found)


def decode_into(
    output: UInt8[np.ndarray, "n c size size"], paths: Sequence[Path], background: Colour
) -> tuple[dict[int, str], list[Sequence[str]]]:
    """Decode files on several threads into an array in memory or in a memory-mapped file.

    Returns:
        The positions of the unreadable files with the reasons; the keys of ``NOTES`` of each image.
    """
    _, channels, size, _ = output.shape
    notes: list[Sequence[str]] = [()] * len(paths)

    def decode_one(place: int) -> None:
        output[place], notes[place] = decode(paths[place], size, background, channels)

    failures = _on_threads(decode_one, len(paths))
    return _reasons(failures, paths), notes


def find_unreadable(paths: Sequence[Path], size: int) -> dict[int, str]:
    """Decode files without keeping them: the positions of the unreadable files, and the reasons."""
    failures = _on_threads(lambda place: decode(paths[place], size), len(paths))
    return _reasons(failures, paths)


def describe_unreadable(failures: Mapping[int, str], paths: Sequence[Path]) -> str:
    """One line that names all unreadable files, up to :data:`NAMED`, with their reasons."""
    shown = [f"{paths[i]} ({reason})" for i, reason in failures.items()]
    more = f" and {len(shown) - NAMED} more" if len(shown) > NAMED else ""
    return (
        f"{len(shown)} of {len(paths)} files cannot be read as an image: replace or remove them, "
        "or write data.unreadable=skip, which leaves them out and lists them in unreadable.csv: "
        f"{'; '.join(shown[:NAMED])}{more}"
    )


def _reasons(failures: Mapping[int, Exception], paths: Sequence[Path]) -> dict[int, str]:
    return {place: _reason(error, paths[place]) for place, error in failures.items()}


def _reason(error: Exception, path: Path) -> str:
    """The message of an error in one line; Pillow repeats the file in it."""
    message = str(error).replace(repr(str(path)), "")
    return " ".join(message.split()) or type(error).__name__


def _on_threads(work: Callable[[int], object], count: int) -> dict[int, Exception]:
    """Call ``work`` with 0 to count - 1; the calls that failed."""

    def work_on_some(start: int) -> dict[int, Exception]:
        failures = {}
        for place in range(start, min(start + FILES_PER_TASK, count)):
            try:
                work(place)
            except Exception as error:
                failures[place] = error
        return failures

    # Pillow lets other threads run while it decodes. Its warning about very large images is made an
    # error, because it would decode them.
    with (
        warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
        ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as threads,
    ):
        try:
            done = list(threads.map(work_on_some, range(0, count, FILES_PER_TASK)))
        except BaseException:  # Ctrl-C ends the waiting too
            threads.shutdown(cancel_futures=True)
            raise
    return {place: error for some in done for place, error in some.items()}
