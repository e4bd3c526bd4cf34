"""The files of MNIST and Fashion-MNIST: download them, and read their IDX format."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import UInt8
from torchvision.datasets import MNIST
from torchvision.datasets.utils import download_and_extract_archive

from labelnoise.data.samples import Samples
from labelnoise.errors import InputError, reason_of

# Bytes in an IDX file: two zeros, the type of unsigned bytes, the number of dimensions; then each
# dimension as a 32-bit number, most significant byte first; then the values.
BYTES = 0x08
SIDE = 28
AGAIN = "delete the file and download it again"


def read_idx(path: Path) -> UInt8[np.ndarray, "*shape"]:
    """Read the unsigned bytes of an IDX file, which may be compressed (.gz).

    Raises:
        InputError: the file is damaged or has other values.

    Source:
        Y. LeCun, C. Cortes and C. Burges, "The MNIST database of handwritten digits".

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "labels")
        ...     _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        ...     read_idx(file)
        array([7, 2, 1], dtype=uint8)
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}); {AGAIN}") from error
    dimensions = content[3] if len(content) > 3 else 0
    shape = tuple(
        int.from_bytes(content[4 * i : 4 * i + 4], "big") for i in range(1, dimensions + 1)
    )
    start = 4 * (dimensions + 1)
    if content[:3] != bytes([0, 0, BYTES]) or len(content) - start != math.prod(shape):
        raise InputError(
            f"{path} is not an IDX file of bytes, or it is incomplete ({len(content)} bytes); "
            f"{AGAIN}"
        )
    return np.frombuffer(bytearray(content), np.uint8, offset=start).reshape(shape)


def folder_of(files: type[MNIST], root: Path) -> Path:
    """The folder of the files, as torchvision names it."""
    return root / files.__name__ / "raw"


def paths(files: type[MNIST], root: Path) -> list[Path]:
    """Images and labels for training, then for the test; each as it is there, raw or .gz."""
    found = []
    for name, _ in files.resources:
        packed = folder_of(files, root) / name
        raw = packed.with_suffix("")
        found.append(packed if packed.is_file() and not raw.is_file() else raw)
    return found


def fetch(files: type[MNIST], root: Path, *, download: bool) -> None:
    """Download missing files with torchvision, which checks their md5 sums.

    Existing files are never overwritten.

    Raises:
        InputError: files are missing and cannot be downloaded.
    """
    name, folder = files.__name__, folder_of(files, root)
    missing = [path for path in paths(files, root) if not path.is_file()]
    if not missing:
        return
    if not download:
        raise InputError(
            f"{name} is not in {folder} ({len(missing)} of {len(files.resources)} files missing, "
            f"the first is {missing[0].name}, raw or .gz): write data.root=FOLDER for the folder "
            f"with {name}/raw, or data.download=true"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Several runs of a sweep may start at once; the first one downloads.
        with FileLock(root / f".{name}.lock"):
            for (packed, md5), path in zip(files.resources, paths(files, root), strict=True):
                if not path.is_file():
                    _download(files, packed, md5, folder)
    except Exception as error:  # no network, a full disk, a damaged archive
        raise InputError(
            f"{name} is not in {folder} and cannot be downloaded ({reason_of(error)}): put its "
            f"files into {folder} yourself, or write data.root=FOLDER"
        ) from error


def _download(files: type[MNIST], name: str, md5: str, folder: Path) -> None:
    """Download a file from the first mirror that answers."""
    problems = []
    for mirror in files.mirrors:
        try:
            download_and_extract_archive(f"{mirror}{name}", str(folder), filename=name, md5=md5)
            return
        except (OSError, RuntimeError) as error:
            problems.append(f"{mirror}: {error}")
    raise OSError("; ".join(problems))


def read_part(image_file: Path, label_file: Path, num_classes: int) -> Samples:
    """The images (n, 1, 28, 28) of a file and the labels of another.

    Raises:
        InputError: a file is damaged, or the two do not fit together.
    """
    image, label = read_idx(image_file), read_idx(label_file)
    if image.shape[1:] != (SIDE, SIDE):
        raise InputError(
            f"{image_file} has the shape {image.shape}, not (n, {SIDE}, {SIDE}); {AGAIN}"
        )
    if label.shape != image.shape[:1] or len(label) == 0:
        raise InputError(
            f"{label_file} has labels of shape {label.shape} for {len(image)} images in "
            f"{image_file}; {AGAIN}"
        )
    if label.max() >= num_classes:
        raise InputError(
            f"{label_file} has the label {label.max()}, above {num_classes - 1}; {AGAIN}"
        )
    return Samples.in_memory(torch.from_numpy(image)[:, None], torch.from_numpy(label).long())
