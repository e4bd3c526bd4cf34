"""Images in folders named by class: finding, decoding, and their labels in a CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import center_crop, resize

from labelnoise.errors import InputError

# EPS files are programs that Pillow hands to Ghostscript: nothing to run on a stranger's images.
REFUSED_FORMATS = {"EPS"}
FILES_PER_TASK = 64


def list_images(
    folder: Path, class_names: Sequence[str] | None = None
) -> tuple[list[str], list[str], Int[Tensor, " n"]]:
    """Find the images in ``folder/CLASS/``, sorted by class and name.

    Args:
        folder: with one sub-folder a class.
        class_names: the classes allowed; None for those found.

    Returns:
        The class names, the files as ``CLASS/name``, and each file's class.

    Raises:
        InputError: no folder, no class, a class without images, or one that is not allowed.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; put the images into {folder}/CLASS/")
    found = sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    if not found:
        raise InputError(f"{folder} has no class folders; put the images into {folder}/CLASS/")
    names = found if class_names is None else list(class_names)
    unknown = [name for name in found if name not in names]
    if unknown:
        raise InputError(
            f"{folder} has {len(unknown)} of {len(found)} classes that the training images lack, "
            f"the first is '{unknown[0]}'; the classes are {', '.join(names)}"
        )
    endings = _readable_endings()
    files, label = [], []
    for name in found:
        images = sorted(
            f.name
            for f in (folder / name).iterdir()
            if f.suffix.lower() in endings and not f.name.startswith(".") and f.is_file()
        )
        if not images:
            raise InputError(
                f"{folder / name} has no images (files that end in .png, .jpg, .webp and the "
                "like); add some or remove the folder"
            )
        files += [f"{name}/{image}" for image in images]
        label += [names.index(name)] * len(images)
    return names, files, torch.tensor(label)


def _readable_endings() -> set[str]:
    """What a file may end in for Pillow to decode it here."""
    return {end for end, kind in Image.registered_extensions().items() if kind in _formats()}


@cache
def _formats() -> list[str]:
    Image.init()
    return [kind for kind in Image.ID if kind not in REFUSED_FORMATS]


def decode(path: Path, size: int) -> UInt8[np.ndarray, "3 size size"]:
    """Read one image as RGB, its shorter side resized to ``size`` and its middle cut out.

    Raises:
        InputError: Pillow cannot read it.
    """
    try:
        # The list keeps a file of a refused format out whatever its name ends in.
        with Image.open(path, formats=_formats()) as file:
            if file.mode[0] in "IF":  # Pillow would clip such values to 255 and say nothing
                raise ValueError(f"more than 8 bits a channel, mode {file.mode}")
            image = file.convert("RGB")
    except Exception as error:  # a damaged file can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} cannot be read as an image ({reason}): replace it by an 8-bit PNG or the "
            "like, or remove it"
        ) from error
    if image.size != (size, size):
        image = center_crop(resize(image, [size]), [size, size])
    return np.asarray(image).transpose(2, 0, 1)


def decode_all(paths: Sequence[Path], size: int) -> UInt8[Tensor, "n 3 size size"]:
    """Decode files on a few threads, straight into one tensor; see :func:`decode`."""
    output = np.empty((len(paths), 3, size, size), dtype=np.uint8)

    def decode_some(start: int) -> None:
        for place in range(start, min(start + FILES_PER_TASK, len(paths))):
            output[place] = decode(paths[place], size)

    # Pillow lets other threads run while it decodes.
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as threads:
        try:
            for _ in threads.map(decode_some, range(0, len(paths), FILES_PER_TASK)):
                pass
        except InputError:
            threads.shutdown(cancel_futures=True)
            raise
    return torch.from_numpy(output)


def read_given_labels(
    path: Path, files: Sequence[str], class_names: Sequence[str], folder: str = "train"
) -> Int[Tensor, " n"]:
    """Read the given labels of ``files`` from a CSV with the columns ``file`` and ``label``.

    Args:
        path: the CSV; its first line names the columns, others are ignored.
        files: as ``CLASS/name``; the CSV may write them so, or as ``folder/CLASS/name``.
        class_names: a label is one of them, or its number 0..K-1.
        folder: of the files.

    Raises:
        InputError: no header, a file that is unknown, doubled or missing, or an unknown class.
    """
    rows = _rows(path)
    place = {file: i for i, file in enumerate(files)}
    place |= {f"{folder}/{file}": i for i, file in enumerate(files)}
    number = {str(k): k for k in range(len(class_names))}
    number |= {name: k for k, name in enumerate(class_names)}  # a name that is a number wins
    _refuse(path, "files that are no training image", [repr(f) for f, _ in rows if f not in place])
    _refuse(
        path,
        f"labels that are no class or number of {', '.join(class_names)}",
        [f"{label!r} for {file!r}" for file, label in rows if label not in number],
    )
    label = torch.full((len(files),), -1)
    doubled = []
    for file, name in rows:
        if label[place[file]] >= 0:
            doubled.append(repr(file))
        label[place[file]] = number[name]
    _refuse(path, "files in more than one row", doubled)
    missing = [repr(files[i]) for i in (label < 0).nonzero().flatten().tolist()]
    _refuse(path, "training images without a row", missing)
    return label


def _rows(path: Path) -> list[tuple[str, str]]:
    """The file and the label of each row."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = header
            if not {"file", "label"} <= set(header):
                raise InputError(
                    f"{path} begins with {','.join(header)!r}; its first line has to name the "
                    "columns: file,label"
                )
            return [((row["file"] or "").strip(), (row["label"] or "").strip()) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"data.labels={path} cannot be read ({error}); write a CSV file"
        ) from error


def _refuse(path: Path, what: str, offenders: Sequence[str]) -> None:
    if offenders:
        raise InputError(f"{path} has {len(offenders)} {what}, the first is {offenders[0]}")
