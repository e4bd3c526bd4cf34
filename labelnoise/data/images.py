"""What every image data set goes through: label noise, a held-out noisy split, and serving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from labelnoise.data.batch import Split
from labelnoise.data.loaders import (
    Normalize,
    TensorLoader,
    batches_so_far,
    check_batch_size,
    crop_and_flip,
)
from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.distributed import rank, world_size
from labelnoise.errors import InputError
from labelnoise.noise import CleanSplit, LabelNoise, NoiseRecord
from labelnoise.seeding import stream


@dataclass(frozen=True)
class Images:
    """Decoded images with their true labels, and where each stood in what was read.

    Shapes: ``image`` (n, 3, h, w) uint8; ``label``, ``source_index`` (n,) int64.
    """

    image: UInt8[Tensor, "n c h w"]
    label: Int[Tensor, " n"]
    source_index: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.label)

    def subset(self, index: Int[Tensor, " k"]) -> Images:
        """The images at ``index``, in that order; no copy where that is all of them in order."""
        if torch.equal(index, torch.arange(len(self))):
            return self
        return Images(
            self.image.index_select(0, index), self.label[index], self.source_index[index]
        )

    def moved_to_front(self, index: Int[Tensor, " k"]) -> Images:
        """The images at ascending places, moved to the front of the memory that all of them take.

        Afterwards the images are in disorder. No second copy is made, as :meth:`subset` would.

        Example:
            >>> image = torch.arange(4).byte().view(4, 1, 1, 1)
            >>> images = Images(image, torch.arange(4), torch.arange(4))
            >>> front = images.moved_to_front(torch.tensor([0, 2, 3]))
            >>> front.image.flatten().tolist(), front.image.data_ptr() == images.image.data_ptr()
            ([0, 2, 3], True)
        """
        if len(index) == len(self):
            return self
        start = 0
        for chunk in index.split(1024):
            # A place moves to itself or further to the front, where nothing is needed any more.
            self.image[start : start + len(chunk)] = self.image.index_select(0, chunk)
            start += len(chunk)
        return Images(self.image[:start], self.label[index], self.source_index[index])


def equal_per_class(
    label: Int[Tensor, " n"],
    per_class: int,
    generator: torch.Generator,
    option: str = "per_class",
) -> Int[Tensor, " k"]:
    """Where to find ``per_class`` samples of each class present, drawn at random, in order.

    Raises:
        InputError: ``per_class`` is below 1 or above the smallest class's size; names the option.

    Example:
        >>> equal_per_class(torch.tensor([0, 1, 0, 1, 1]), 2, torch.Generator().manual_seed(0))
        tensor([0, 1, 2, 4])
    """
    classes, counts = label.unique(return_counts=True)
    if not 1 <= per_class <= int(counts.min()):
        raise InputError(
            f"data.{option} is {per_class} and the smallest class has {int(counts.min())} images; "
            f"write 1 to {int(counts.min())}, or null for all"
        )
    chosen = []
    for k in classes:
        members = (label == k).nonzero().flatten()
        chosen.append(members[torch.randperm(len(members), generator=generator)[:per_class]])
    return torch.cat(chosen).sort().values


def hold_out(
    n: int, fraction: float, generator: torch.Generator
) -> tuple[Int[Tensor, " rest"], Int[Tensor, " held"]]:
    """Split 0..n-1 at random into a rest and round(fraction n) held out, each in order.

    Raises:
        InputError: the fraction is outside [0, 1), or leaves a part it asks for without samples.

    Example:
        >>> rest, held = hold_out(10, 0.2, torch.Generator().manual_seed(0))
        >>> len(rest), len(held), torch.cat([rest, held]).sort().values.tolist() == [*range(10)]
        (8, 2, True)
    """
    if not 0 <= fraction < 1:
        raise InputError(f"data.val_fraction is {fraction}; write a share in [0, 1), 0 for none")
    size = round(n * fraction)
    if size == n or (fraction > 0 and size == 0):
        raise InputError(
            f"data.val_fraction={fraction} of {n} training images leaves {n - size} to train on "
            f"and {size} to validate on; write another share, 0 for none"
        )
    order = torch.randperm(n, generator=generator)
    return order[size:].sort().values, order[:size].sort().values


class ImageDataModule(NoisyLabelDataModule):
    """Images in memory with label noise; a data set fills in ``_read``.

    The training images are the labelled pool: their labels are made noisy together, and a noisy
    validation split is held out of them afterwards. It is all that may be selected on; the test
    images serve for reporting, with clean labels and with noisy ones.

    Args:
        noise: the label noise, drawn for the pool and, on another stream, for the test labels.
        mean, std: of each channel, on the scale of 0 to 1.
        batch_size: of each process; None for all training images at every step.
        per_class: training images a class to keep, drawn at random; None for all. Where labels from
            a file lie outside the classes, their images are dropped before.
        test_per_class: test images a class to keep, drawn at random; None for all.
        val_fraction: share of the pool that is held out; 0 for no validation split.
        augment: shift training images by up to an eighth of their height (4 of 32 pixels), mirror
            half of them.
        eval_batch_size: of the validation and test batches.
        seed: of the augmentation, and of what follows unless set alone.
        split_seed: of both ``per_class`` and of the validation split.
        shuffle_seed: of the mini-batch order.

    Attributes (after ``setup``):
        num_classes, class_names: K and the K names.
        source_classes: the K numbers of the classes in the published data set, where these are some
            of them; else None.
        source_size: training images in the published data set.
        input_shape: (3, h, w).
        train, val, test: the splits; ``val`` is None without held-out images. ``test.label`` is
            noisy, ``test.clean_label`` true.
        noise_record: the labels of the pool, train and validation together, in the order read.
    """

    num_classes: int
    class_names: Sequence[str]
    source_classes: Sequence[int] | None = None
    source_size: int | None = None
    input_shape: tuple[int, int, int]
    train: Split
    val: Split | None
    test: Split
    noise_record: NoiseRecord

    def __init__(
        self,
        noise: LabelNoise,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int | None = 128,
        per_class: int | None = None,
        test_per_class: int | None = None,
        val_fraction: float = 0.1,
        augment: bool = False,
        eval_batch_size: int = 200,
        seed: int = 0,
        split_seed: int | None = None,
        shuffle_seed: int | None = None,
    ) -> None:
        super().__init__()
        check_batch_size(batch_size)
        if eval_batch_size < 1:
            raise InputError(f"data.eval_batch_size is {eval_batch_size}; write 1 or more")
        if not 0 <= val_fraction < 1:
            raise InputError(f"data.val_fraction is {val_fraction}; write a share in [0, 1)")
        for name, count in {"per_class": per_class, "test_per_class": test_per_class}.items():
            if count is not None and count < 1:
                raise InputError(f"data.{name} is {count}; write 1 or more, or null for all")
        self.noise = noise
        self.normalize = Normalize(mean, std)
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.per_class, self.test_per_class = per_class, test_per_class
        self.val_fraction = val_fraction
        self.augment = augment
        self.seed = seed
        self.split_seed = seed if split_seed is None else split_seed
        self.shuffle_seed = seed if shuffle_seed is None else shuffle_seed
        self._is_set_up = False

    def _read(self) -> tuple[Images, Images]:
        """The training and the test images; sets ``class_names`` where they are not known yet."""
        raise NotImplementedError

    def _draw_pool(self, pool: Images) -> NoiseRecord:
        """The given labels of the training images."""
        return self._draw(pool, "train")

    def setup(self, stage: str | None = None) -> None:
        """Read, select, flip and split, once; every later call changes nothing."""
        if self._is_set_up:
            return
        self.prepare_data()  # nothing to do where Lightning, or another process, did it already
        pool, test = self._read()
        self.num_classes = len(self.class_names)
        if self.source_size is None:
            self.source_size = len(pool)
        # Of two classes, people labelled some samples as a third one.
        kept = self.noise.keeps(CleanSplit(pool.label, self.num_classes, **self._told(pool)))
        kept = kept.nonzero().flatten()
        dropped = len(pool) - len(kept)
        pool = pool.subset(kept)
        if self.per_class is not None:
            generator = stream(self.split_seed, "subset")
            pool = pool.subset(equal_per_class(pool.label, self.per_class, generator))
        if self.test_per_class is not None:
            generator = stream(self.split_seed, "test subset")
            index = equal_per_class(test.label, self.test_per_class, generator, "test_per_class")
            test = test.subset(index)
        channels, height, width = pool.image.shape[1:]
        self.input_shape = (channels, height, width)
        self.noise_record = self._draw_pool(pool)
        if dropped and self.noise_record.source_index is None:
            self.noise_record = replace(
                self.noise_record, dropped_outside_classes=dropped, source_index=pool.source_index
            )
        rest, held = hold_out(len(pool), self.val_fraction, stream(self.split_seed, "split"))
        self.val = None
        if len(held):
            self.val = self._split(pool.subset(held), self.noise_record, held)
        # The last use of the pool: one copy of the images is enough.
        self.train = self._split(pool.moved_to_front(rest), self.noise_record, rest)
        # After the pool: people's labels tell what noise to draw for the test images.
        self.test = self._split(test, self._draw(test, "test"), torch.arange(len(test)))
        self._is_set_up = True

    def _draw(self, images: Images, part: str) -> NoiseRecord:
        return self.noise.draw(images.label, self.num_classes, part=part, **self._told(images))

    def _told(self, images: Images) -> dict[str, Any]:
        """What label noise may know of the images beside their labels."""
        return {
            # A function of the index: few samples are asked for, and all as floats take much space.
            "features": lambda index: self.normalize(images.image.index_select(0, index)),
            "class_names": self.class_names,
            "source_index": images.source_index,
            "source_classes": self.source_classes,
            "source_size": self.source_size,
        }

    def _split(self, chosen: Images, record: NoiseRecord, index: Int[Tensor, " k"]) -> Split:
        """The split of the images at ``index`` of those that ``record`` is about."""
        return Split(
            chosen.image, record.label[index], chosen.label, chosen.source_index, self.normalize
        )

    def train_dataloader(self) -> TensorLoader:
        padding = self.input_shape[1] // 8
        return TensorLoader(
            self.train,
            self.batch_size,
            shuffle_seed=self.shuffle_seed,
            augment=partial(crop_and_flip, padding=padding) if self.augment else None,
            augment_seed=self.seed,
            start=batches_so_far(self.trainer),
            limit=None if self.trainer is None else self.trainer.limit_train_batches,
            rank=rank(),
            world_size=world_size(),
        )

    def val_dataloader(self) -> TensorLoader | list[TensorLoader]:
        return [] if self.val is None else TensorLoader(self.val, self.eval_batch_size)

    def test_dataloader(self) -> TensorLoader:
        return TensorLoader(self.test, self.eval_batch_size)
