"""Images in memory against torchvision's dataset item by item, measured side by side.

    python -m benchmarks.images [ROOT]

ROOT holds cifar-10-batches-py; its md5 sums are not checked. Without ROOT, random images of the
same size are written to a temporary folder first (180 MB) and removed afterwards.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from benchmarks.ratio import Ratio, seconds, side_by_side
from labelnoise.data.batch import Split
from labelnoise.data.cifar import select_classes
from labelnoise.data.cifar_files import PUBLISHED_CIFAR10, read_part
from labelnoise.data.loaders import Normalize, TensorLoader
from labelnoise.data.subsets import equal_per_class
from labelnoise.seeding import stream

IMAGES, BATCH_SIZE, ROUNDS = 10_000, 128, 5
PAIR = (0, 1)


class UncheckedCIFAR10(datasets.CIFAR10):
    """torchvision's dataset for files of any content."""

    def _check_integrity(self) -> bool:
        return True

    def _load_meta(self) -> None:
        self.classes = list(PUBLISHED_CIFAR10.class_names)


def write_random_cifar10(root: Path, rows: int = 10_000) -> None:
    """Write files of CIFAR-10's names, form and size with random pixels and labels."""
    rng = np.random.default_rng(0)
    for train in (True, False):
        for path, _ in PUBLISHED_CIFAR10.paths(root, train):
            path.parent.mkdir(parents=True, exist_ok=True)
            data = rng.integers(0, 256, (rows, 3072), dtype=np.uint8)
            label = rng.permutation(np.arange(rows) % 10).tolist()
            with open(path, "wb") as file:
                pickle.dump({"data": data, "labels": label}, file, protocol=2)


def image_loading(root: Path, threads: int) -> Ratio:
    """One shuffled pass of normalised batches over images that are in memory on both sides.

    The other side is ToTensor and Normalize for each item behind a DataLoader, with no worker or
    with two, whichever is faster (starting workers counts, as it does in every epoch). Both serve
    the same images in the same order, which is asserted.

    ``threads`` are torch's in this process; the other side's items are too small to be shared among
    them. Several threads wait for each other at every operation: where other programs keep the
    cores busy they can be a hundred times slower than one, whose row is the one to compare.
    """
    images = read_part(PUBLISHED_CIFAR10, root, train=True).subset(torch.arange(IMAGES))
    mean, std = PUBLISHED_CIFAR10.mean, PUBLISHED_CIFAR10.std
    split = Split(
        images.inputs(), images.label, images.label, images.source_index, Normalize(mean, std)
    )

    def ours() -> TensorLoader:
        return TensorLoader(split, BATCH_SIZE, shuffle_seed=0)

    order = torch.cat([batch.index for batch in ours()]).tolist()
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    dataset = UncheckedCIFAR10(str(root), transform=transform)

    def other(num_workers: int) -> DataLoader:
        return DataLoader(dataset, BATCH_SIZE, sampler=order, num_workers=num_workers)

    for batch, (input, label) in zip(ours(), other(0), strict=True):
        assert (batch.input - input).abs().max() <= 1e-6
        assert torch.equal(batch.label, label)

    def one_pass(loader: Iterable[Any]) -> None:
        for _ in loader:
            pass

    def ten_of_ours() -> None:
        for _ in range(10):
            one_pass(ours())

    def one_of_other(num_workers: int) -> None:
        one_pass(other(num_workers))

    default = torch.get_num_threads()
    torch.set_num_threads(threads)
    ours_rate, other_rate, ratio = side_by_side(
        # One pass takes milliseconds; ten are as steady as one of the other side.
        lambda: 10 * IMAGES / seconds(ten_of_ours),
        lambda: IMAGES / min(seconds(partial(one_of_other, n)) for n in (0, 2)),
        ROUNDS,
    )
    torch.set_num_threads(default)
    name = f"image loading, {threads} thread{'s' if threads > 1 else ''}"
    return Ratio(name, "images/s", ours_rate, other_rate, ratio, ">= 20")


def pair_preparation(root: Path) -> Ratio:
    """Two of ten classes out of all training images, relabelled 0 and 1, equally many of each.

    Timed from the arrays that each side has in memory once the files are read, to one uint8 tensor
    of images and one of labels; reading the files is in neither time. The other side asks the
    dataset, without transforms, for every item and keeps those of the pair.
    """
    images = read_part(PUBLISHED_CIFAR10, root, train=True)
    dataset = UncheckedCIFAR10(str(root))

    def ours() -> tuple[torch.Tensor, torch.Tensor]:
        pair = select_classes(images, PAIR)
        smaller = int(pair.label.bincount(minlength=2).min())
        pair = pair.subset(equal_per_class(pair.label, smaller, stream(0, "pair")))
        return pair.inputs(), pair.label

    def other() -> tuple[torch.Tensor, torch.Tensor]:
        kept = [(np.asarray(image), PAIR.index(k)) for image, k in dataset if k in PAIR]
        pixels = torch.from_numpy(np.stack([image for image, _ in kept])).permute(0, 3, 1, 2)
        return pixels.contiguous(), torch.tensor([label for _, label in kept])

    for a, b in zip(ours(), other(), strict=True):
        assert torch.equal(a, b)
    ours_rate, other_rate, ratio = side_by_side(
        lambda: 1 / seconds(ours), lambda: 1 / seconds(other), ROUNDS
    )
    return Ratio("pair preparation", "per second", ours_rate, other_rate, ratio, ">= 5")


def measure(root: Path | None = None) -> Iterator[Ratio]:
    """All comparisons, over the files in ``root`` or over random ones."""
    with tempfile.TemporaryDirectory() as folder:
        if root is None:
            root = Path(folder)
            write_random_cifar10(root)
        for threads in sorted({1, torch.get_num_threads()}):
            yield image_loading(root, threads)
        yield pair_preparation(root)
