"""Data modules of the CIFAR family: all classes, or two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from labelnoise.data.batch import Split
from labelnoise.data.cifar_files import (
    IMAGE_SHAPE,
    PUBLISHED_CIFAR10,
    PUBLISHED_CIFAR100,
    Published,
    fetch,
    read_part,
)
from labelnoise.data.images import ImageDataModule
from labelnoise.data.samples import Samples
from labelnoise.data.subsets import equal_per_class
from labelnoise.errors import InputError
from labelnoise.files.writing import content_of
from labelnoise.noise import LabelNoise
from labelnoise.seeding import stream


def select_classes(images: Samples, classes: Sequence[int]) -> Samples:
    """The images of some classes, relabelled 0, 1, ... in the order of ``classes``.

    Example:
        >>> image = torch.zeros(4, 3, 1, 1, dtype=torch.uint8)
        >>> images = Samples.in_memory(image, torch.tensor([7, 3, 5, 7]))
        >>> chosen = select_classes(images, [7, 5])
        >>> chosen.label.tolist(), chosen.source_index.tolist()
        ([0, 1, 0], [0, 2, 3])
    """
    table = torch.full((max(int(images.label.max()), *classes) + 1,), -1)
    table[list(classes)] = torch.arange(len(classes))
    label = table[images.label]
    index = (label >= 0).nonzero().flatten()
    return replace(images.subset(index), label=label[index])


class CIFARDataModule(ImageDataModule):
    """A data set of the CIFAR family; see :class:`ImageDataModule` for the other arguments.

    Args:
        noise: the label noise.
        root: the folder for the folder of the published files.
        download: download the data set if files are missing.
        verify: refuse files with another md5 sum than the published one.

    Raises:
        InputError: at set-up, files that are missing or cannot be used.
    """

    published: ClassVar[Published]
    test: Split

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

    def sources(self) -> dict[str, str | None]:
        listed = [
            path for train in (True, False) for path, _ in self.published.paths(self.root, train)
        ]
        return super().sources() | {"data.root": content_of(*listed)}

    def read(self) -> tuple[Samples, Samples]:
        train = read_part(self.published, self.root, train=True)
        self.source_size = len(train)
        return train, read_part(self.published, self.root, train=False)


class CIFAR10DataModule(CIFARDataModule):
    """CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels in ten classes."""

    published = PUBLISHED_CIFAR10


class CIFAR100DataModule(CIFARDataModule):
    """CIFAR-100: 50,000 training and 10,000 test images of 32 x 32 pixels in a hundred classes.

    The classes are the fine ones, 500 training and 100 test images of each.
    """

    published = PUBLISHED_CIFAR100


class CIFAR10PairDataModule(CIFAR10DataModule):
    """Two classes of CIFAR-10 of equal size, as in the image experiment of the paper.

    The first class is label 0, the second is label 1. There are 5,000 + 5,000 training and 1,000 +
    1,000 test images; ``per_class`` reduces the training images. If one class of the files has more
    images, a subset is drawn. With human labels (noise=human) training images of a third class are
    dropped, so the classes may differ in size; ``per_class`` draws from the remaining images.
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
        self.source_classes = self.classes
        self.class_names = tuple(self.published.class_names[k] for k in self.classes)
        self.num_classes = 2

    def read(self) -> tuple[Samples, Samples]:
        train, test = super().read()
        return self._pair(train, "train"), self._pair(test, "test")

    def _pair(self, images: Samples, part: str) -> Samples:
        pair = select_classes(images, self.classes)
        counts = pair.label.bincount(minlength=2)
        if not counts.all():
            raise InputError(
                f"{self.root} has {counts.tolist()} {part} images of "
                f"{' and '.join(self.class_names)}; download the data again"
            )
        generator = stream(self.split_seed, "pair", part)
        return pair.subset(equal_per_class(pair.label, int(counts.min()), generator))


def two_classes(classes: Sequence[str | int], names: Sequence[str]) -> tuple[int, int]:
    """The numbers of two different classes given by name or number.

    Raises:
        InputError: they are not two, not different, or not classes of this data set.

    Example:
        >>> two_classes(["dog", 3], PUBLISHED_CIFAR10.class_names)
        (5, 3)
    """
    numbers = [
        names.index(k) if k in names else k if k in range(len(names)) else -1 for k in classes
    ]
    if len(numbers) != 2 or -1 in numbers or numbers[0] == numbers[1]:
        raise InputError(
            f"data.classes is {list(classes)}; write two different classes of {', '.join(names)}, "
            f"or their numbers from 0 to {len(names) - 1}"
        )
    return int(numbers[0]), int(numbers[1])
