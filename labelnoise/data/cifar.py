"""CIFAR as published: fetched and checked like torchvision does, its pickles read untrusted."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Int, UInt8
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity, download_and_extract_archive

from labelnoise.data.images import ImageDataModule, Images, equal_per_class
from labelnoise.errors import InputError
from labelnoise.noise import CIFAR10_CLASSES, LabelNoise
from labelnoise.seeding import stream

IMAGE_SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Published:
    """What is known of a data set of the CIFAR family before any of its files is read.

    Attributes:
        name: as its authors write it.
        files: torchvision's class, for the names and md5 sums of the files and where they lie.
        label_key: under which a batch holds its labels.
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
        """The files of one part, each with its md5 sum."""
        listed = self.files.train_list if train else self.files.test_list
        return [(root / self.files.base_folder / name, md5) for name, md5 in listed]


# The numbers of the paper's code; its std is that within an image, averaged over the images.
PUBLISHED_CIFAR10 = Published(
    name="CIFAR-10",
    files=CIFAR10,
    label_key="labels",
    class_names=tuple(CIFAR10_CLASSES),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),
)


def fetch(published: Published, root: Path, *, download: bool, verify: bool) -> None:
    """See to it that all files are in ``root``, with ``verify`` that they are the published ones.

    Files that are there are never overwritten.

    Raises:
        InputError: files are missing and may not or cannot be downloaded, or differ.
    """
    folder = root / published.files.base_folder
    listed = published.paths(root, train=True) + published.paths(root, train=False)
    if verify:
        for path, md5 in listed:
            if path.exists() and not check_integrity(path, md5):
                raise InputError(
                    f"{path} is not the published {published.name} (its md5 differs): write "
                    f"data.verify=false to use it all the same, or delete {folder} to fetch it anew"
                )
    missing = [path for path, _ in listed if not path.exists()]
    if not missing:
        return
    if not download:
        raise InputError(
            f"{published.name} is not in {folder} ({len(missing)} of {len(listed)} files missing, "
            f"the first is {missing[0].name}): write data.root=FOLDER for the folder that holds "
            f"{published.files.base_folder}, or data.download=true"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Several runs of one sweep may start at once; the first one fetches.
        with FileLock(root / f".{published.files.base_folder}.lock"):
            if not all(path.exists() for path in missing):
                download_and_extract_archive(
                    published.files.url,
                    str(root),
                    filename=published.files.filename,
                    md5=published.files.tgz_md5,
                )
    except Exception as error:  # no network, a full disk, a broken archive: all end in one line
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{published.name} is not in {folder} and cannot be fetched from "
            f"{published.files.url} ({reason}): put {published.files.base_folder} into {root} "
            "yourself, or write data.root=FOLDER"
        ) from error


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles lists, dicts, text, numbers and arrays of bytes; whatever else is refused.

    A pickle calls functions by their names. The few that it needs are replaced by ones that can do
    no more than that, so nothing a file names is ever run.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):
            return _encode
        # Files of numpy 1 have the middle name, those of numpy 2 the last.
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray"):
            stand_ins = {"_reconstruct": _empty_array, "dtype": _byte_type, "ndarray": None}
            if name in stand_ins:
                return stand_ins[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _empty_array(*_: object) -> np.ndarray:
    """An array for the pickle to fill, whose type and size it tells afterwards."""
    return np.empty(0, np.uint8)


def _byte_type(code: str, *_: object) -> np.dtype:
    """uint8 alone: an array of objects could hold anything, and numpy warns of old files' flags."""
    if code != "u1":
        raise pickle.UnpicklingError(f"it holds an array of type {code}")
    return np.dtype(np.uint8)


def _encode(text: str, encoding: str) -> bytes:
    """The bytes of an array, which Python 3 writes as text where it pickles for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding}")
    return text.encode("latin1")


def read_batch(
    path: Path, label_key: str, num_classes: int
) -> tuple[UInt8[np.ndarray, "n 3072"], Int[np.ndarray, " n"]]:
    """Read one file: its images, a row of 3 x 32 x 32 bytes each, and their labels.

    Raises:
        InputError: the file is damaged, or holds something else than such a batch.
    """
    try:
        with open(path, "rb") as file:
            batch = _ArrayUnpickler(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} cannot be read ({reason}): it is damaged, or more than a batch of images; "
            "fetch it anew"
        ) from error
    data = batch.get("data") if isinstance(batch, dict) else None
    label = batch.get(label_key) if isinstance(batch, dict) else None
    width = int(np.prod(IMAGE_SHAPE))
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != width:
        shape = f"of shape {data.shape}" if isinstance(data, np.ndarray) else "missing"
        raise InputError(f"{path} is no batch of images: 'data' is {shape}, not (n, {width}) bytes")
    if not isinstance(label, list) or len(label) != len(data):
        count = f"{len(label)} labels" if isinstance(label, list) else "no labels"
        raise InputError(f"{path} has {len(data)} images and {count} under '{label_key}'")
    if not all(type(k) is int and 0 <= k < num_classes for k in label):
        raise InputError(f"{path} has labels under '{label_key}' outside 0..{num_classes - 1}")
    return data, np.array(label, dtype=np.int64)


def read_part(published: Published, root: Path, *, train: bool) -> Images:
    """Read the training or the test images into one tensor, in the published order.

    Raises:
        InputError: a file cannot be used, see :func:`read_batch`; or all are empty.
    """
    batches = [
        read_batch(path, published.label_key, len(published.class_names))
        for path, _ in published.paths(root, train)
    ]
    label = torch.from_numpy(np.concatenate([label for _, label in batches]))
    if len(label) == 0:
        folder, purpose = root / published.files.base_folder, "train" if train else "test"
        raise InputError(f"{folder} has no image to {purpose} on; fetch it anew")
    image = torch.from_numpy(np.concatenate([data for data, _ in batches]))
    return Images(image.view(-1, *IMAGE_SHAPE), label, torch.arange(len(label)))


def select_classes(images: Images, classes: Sequence[int]) -> Images:
    """The images of some classes, in order, relabelled 0, 1, ... as the classes are listed.

    Example:
        >>> image = torch.zeros(4, 3, 1, 1, dtype=torch.uint8)
        >>> images = Images(image, torch.tensor([7, 3, 5, 7]), torch.arange(4))
        >>> chosen = select_classes(images, [7, 5])
        >>> chosen.label.tolist(), chosen.source_index.tolist()
        ([0, 1, 0], [0, 2, 3])
    """
    table = torch.full((max(int(images.label.max()), *classes) + 1,), -1)
    table[list(classes)] = torch.arange(len(classes))
    label = table[images.label]
    index = (label >= 0).nonzero().flatten()
    chosen = images.subset(index)
    return Images(chosen.image, label[index], chosen.source_index)


class CIFARDataModule(ImageDataModule):
    """A data set of the CIFAR family; see :class:`ImageDataModule` for the other arguments.

    Args:
        noise: the label noise.
        root: the folder that holds the published one, or gets it.
        download: fetch the data set where files are missing.
        verify: refuse files whose md5 sum is not the published one.

    Raises:
        InputError: when set up, for files that are missing or cannot be used.
    """

    published: ClassVar[Published]

    def __init__(
        self,
        noise: LabelNoise,
        *,
        root: str | Path = "data",
        download: bool = True,
        verify: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(noise, mean=self.published.mean, std=self.published.std, **options)
        self.root = Path(root).expanduser()
        self.download, self.verify = download, verify
        self.class_names = self.published.class_names
        self.num_classes = len(self.class_names)
        self.input_shape = IMAGE_SHAPE
        self._is_fetched = False

    def prepare_data(self) -> None:
        """Fetch and check the files, once."""
        if not self._is_fetched:
            fetch(self.published, self.root, download=self.download, verify=self.verify)
            self._is_fetched = True

    def _read(self) -> tuple[Images, Images]:
        return (
            read_part(self.published, self.root, train=True),
            read_part(self.published, self.root, train=False),
        )


class CIFAR10DataModule(CIFARDataModule):
    """CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in ten classes."""

    published = PUBLISHED_CIFAR10


class CIFAR10PairDataModule(CIFAR10DataModule):
    """Two classes of CIFAR-10, equally many images of each; the paper's image experiment.

    The first class becomes label 0, the second label 1. All 5,000 + 5,000 training and 1,000 +
    1,000 test images are kept unless ``per_class`` asks for fewer training images. Where a class
    has more images than the other, as many are drawn as that has.
    Source: arXiv 2505.18909, the experiments on CIFAR-10, and their code.

    Args:
        noise: the label noise.
        classes: two different classes, by name or number.
        options: those of :class:`CIFARDataModule` and :class:`ImageDataModule`.

    Raises:
        InputError: ``classes`` are not two different classes of CIFAR-10.
    """

    def __init__(
        self,
        noise: LabelNoise,
        *,
        classes: Sequence[str | int] = ("airplane", "automobile"),
        **options: Any,
    ) -> None:
        super().__init__(noise, **options)
        self.classes = two_classes(classes, self.published.class_names)
        self.class_names = tuple(self.published.class_names[k] for k in self.classes)
        self.num_classes = 2

    def _read(self) -> tuple[Images, Images]:
        train, test = super()._read()
        return self._pair(train, "train"), self._pair(test, "test")

    def _pair(self, images: Images, part: str) -> Images:
        pair = select_classes(images, self.classes)
        counts = pair.label.bincount(minlength=2)
        if not counts.all():
            raise InputError(
                f"{self.root} has {counts.tolist()} {part} images of "
                f"{' and '.join(self.class_names)}; fetch the data anew"
            )
        generator = stream(self.split_seed, "pair", part)
        return pair.subset(equal_per_class(pair.label, int(counts.min()), generator))


def two_classes(classes: Sequence[str | int], names: Sequence[str]) -> tuple[int, int]:
    """The numbers of two different classes given by name or number.

    Raises:
        InputError: they are not two, not different, or not classes of this data set.

    Example:
        >>> two_classes(["dog", 3], CIFAR10_CLASSES)
        (5, 3)
    """
    numbers = [
        names.index(k) if k in names else k if k in range(len(names)) else -1 for k in classes
    ]
    if len(numbers) != 2 or -1 in numbers or numbers[0] == numbers[1]:
        raise InputError(
            f"data.classes is {list(classes)}; write two different ones of {', '.join(names)}, "
            f"or of their numbers 0 to {len(names) - 1}"
        )
    return int(numbers[0]), int(numbers[1])
