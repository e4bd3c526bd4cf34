"""The files of CIFAR: download them, check them, and read their pickles safely."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Int, UInt8
from torchvision.datasets import CIFAR10, CIFAR100
from torchvision.datasets.utils import check_integrity, download_and_extract_archive

from labelnoise.data.samples import Samples
from labelnoise.errors import InputError, reason_of
from labelnoise.noise import CIFAR10_CLASSES, CIFAR100_CLASSES

IMAGE_SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Published:
    """Facts about a published data set of the CIFAR family.

    Attributes:
        name: the name of the data set.
        files: the class of torchvision with the names, md5 sums and folder of the files.
        label_key: the key of the labels in a file.
        class_names: K names, in the order of the labels.
        mean, std: of each channel over the training images, on the scale of 0 to 1.
    """

    name: str
    files: type[CIFAR10]
    label_key: str
    class_names: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def paths(self, root: Path, train: bool) -> list[tuple[Path, str]]:
        """The files of the training or test images, each with its md5 sum."""
        listed = self.files.train_list if train else self.files.test_list
        return [(root / self.files.base_folder / name, md5) for name, md5 in listed]


# The numbers of the paper's code; its std is the std within an image, averaged over the images.
PUBLISHED_CIFAR10 = Published(
    name="CIFAR-10",
    files=CIFAR10,
    label_key="labels",
    class_names=tuple(CIFAR10_CLASSES),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),
)

# The common numbers; the std is over all pixels.
PUBLISHED_CIFAR100 = Published(
    name="CIFAR-100",
    files=CIFAR100,
    label_key="fine_labels",
    class_names=CIFAR100_CLASSES,
    mean=(0.5071, 0.4867, 0.4408),
    std=(0.2675, 0.2565, 0.2761),
)


def fetch(published: Published, root: Path, *, download: bool, verify: bool) -> None:
    """Download missing files to ``root``; with ``verify`` check that all are the published files.

    Existing files are never overwritten.

    Raises:
        InputError: files are missing and cannot be downloaded, or differ.
    """
    folder = root / published.files.base_folder
    listed = published.paths(root, train=True) + published.paths(root, train=False)
    if verify:
        for path, md5 in listed:
            if path.exists() and not check_integrity(path, md5):
                raise InputError(
                    f"{path} is not the published {published.name} (its md5 differs): write "
                    f"data.verify=false to use it anyway, or delete {folder} to download it again"
                )
    missing = [path for path, _ in listed if not path.exists()]
    if not missing:
        return
    if not download:
        raise InputError(
            f"{published.name} is not in {folder} ({len(missing)} of {len(listed)} files missing, "
            f"the first is {missing[0].name}): write data.root=FOLDER for the folder with "
            f"{published.files.base_folder}, or data.download=true"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Several runs of a sweep may start at once; the first one downloads.
        with FileLock(root / f".{published.files.base_folder}.lock"):
            if not all(path.exists() for path in missing):
                download_and_extract_archive(
                    published.files.url,
                    str(root),
                    filename=published.files.filename,
                    md5=published.files.tgz_md5,
                )
    except Exception as error:  # no network, a full disk, a damaged archive
        raise InputError(
            f"{published.name} is not in {folder} and cannot be downloaded from "
            f"{published.files.url} ({reason_of(error)}): put {published.files.base_folder} into "
            f"{root} yourself, or write data.root=FOLDER"
        ) from error


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles only lists, dicts, text, numbers and arrays of bytes.

    A pickle can name functions to call. Here the few necessary functions are replaced by safe
    substitutes, so no function that a file names is executed.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _encode
        # The second name is from numpy 1, the third from numpy 2.
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray"):
            stand_ins = {"_reconstruct": _empty_array, "dtype": _byte_type, "ndarray": None}
            if name in stand_ins:
                return stand_ins[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _empty_array(*_: object) -> np.ndarray:
    """An array for the pickle to fill; the pickle sets its type and size later."""
    return np.empty(0, np.uint8)


def _byte_type(code: str, *_: object) -> np.dtype:
    """uint8 only, because an array of objects could contain any object."""
    if code != "u1":
        raise pickle.UnpicklingError(f"it contains an array of type {code}")
    return np.dtype(np.uint8)


def _encode(text: str, encoding: str) -> bytes:
    """The bytes of an array, which Python 3 pickles as text for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding}")
    return text.encode("latin1")


def read_batch(
    path: Path, label_key: str, num_classes: int
) -> tuple[UInt8[np.ndarray, "n 3072"], Int[np.ndarray, " n"]]:
    """Read a file: its images, one row of 3 x 32 x 32 bytes each, and their labels.

    Raises:
        InputError: the file is damaged or is not such a batch.
    """
    try:
        with open(path, "rb") as file:
            batch = _ArrayUnpickler(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(
            f"{path} cannot be read ({reason_of(error)}): it is damaged, or not a plain batch of "
            "images; download it again"
        ) from error
    data = batch.get("data") if isinstance(batch, dict) else None
    label = batch.get(label_key) if isinstance(batch, dict) else None
    width = int(np.prod(IMAGE_SHAPE))
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != width:
        shape = f"of shape {data.shape}" if isinstance(data, np.ndarray) else "missing"
        raise InputError(
            f"{path} is not a batch of images: 'data' is {shape}, not (n, {width}) bytes"
        )
    if not isinstance(label, list) or len(label) != len(data):
        count = f"{len(label)} labels" if isinstance(label, list) else "no labels"
        raise InputError(f"{path} has {len(data)} images but {count} under '{label_key}'")
    if not all(type(k) is int and 0 <= k < num_classes for k in label):
        raise InputError(f"{path} has labels under '{label_key}' outside 0..{num_classes - 1}")
    return data, np.array(label, dtype=np.int64)


def read_part(published: Published, root: Path, *, train: bool) -> Samples:
    """Read the training or the test images into one tensor, in the published order.

    Raises:
        InputError: a file cannot be used (:func:`read_batch`), or all files are empty.
    """
    batches = [
        read_batch(path, published.label_key, len(published.class_names))
        for path, _ in published.paths(root, train)
    ]
    label = torch.from_numpy(np.concatenate([label for _, label in batches]))
    if len(label) == 0:
        folder, purpose = root / published.files.base_folder, "train" if train else "test"
        raise InputError(f"{folder} has no image to {purpose} on; download it again")
    image = torch.from_numpy(np.concatenate([data for data, _ in batches]))
    return Samples.in_memory(image.view(-1, *IMAGE_SHAPE), label)
