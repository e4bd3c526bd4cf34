"""The base class of image data sets: label noise, validation split and loaders."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from labelnoise.data.batch import Split
from labelnoise.data.loaders import (
    Normalize,
    TensorLoader,
    batches_so_far,
    check_batch_size,
    crop_and_flip,
)
from labelnoise.data.memory import check_fits
from labelnoise.data.module import NoisyLabelDataModule, warn_of_missing_classes
from labelnoise.data.subsets import Images, equal_per_class, hold_out
from labelnoise.distributed import rank, world_size
from labelnoise.errors import InputError
from labelnoise.noise import CleanSplit, LabelNoise, NoiseRecord
from labelnoise.seeding import stream

log = logging.getLogger(__name__)


class ImageDataModule(NoisyLabelDataModule):
    """Images in memory with label noise; a data set is a subclass with :meth:`read`.

    The labels of all training images (the pool) are made noisy together. Then a noisy validation
    split is held out of the pool; only this split may be used for selection. The test images are
    for reporting, with clean and with noisy labels.

    Args:
        noise: the label noise of the pool and, with another stream, of the test labels.
        mean, std: of each channel, on the scale of 0 to 1.
        batch_size: batch size of each process; None: all training images at every step.
        per_class: number of training images to keep in each class, drawn at random; None: all.
            Images with labels outside the classes are dropped before.
        test_per_class: number of test images to keep in each class, drawn at random; None: all.
        val_fraction: share of the pool to hold out; 0 for no validation split. Every given class
            keeps a training sample, see :func:`hold_out`.
        augment: shift training images by up to an eighth of their height (4 of 32 pixels), and
            mirror half of them.
        eval_batch_size: size of the validation and test batches.
        seed: seed of the augmentation; default of the other seeds.
        split_seed: seed of ``per_class``, ``test_per_class`` and the validation split.
        shuffle_seed: seed of the mini-batch order.

    Attributes (after ``setup``):
        num_classes, class_names: K and the K names.
        source_classes: the K published numbers of the classes if the data have only some of them;
            else None.
        source_size: number of training images in the published data set.
        size_options: the options that reduce memory, for the message.
        input_shape: (3, h, w).
        train, val, test: the splits; ``val`` is None without held-out images. ``test.label`` is
            noisy, ``test.clean_label`` is true.
        noise_record: the labels of the pool (training and validation) in the order read.
        labels_are_true: whether the labels of the images are known to be true. If not, and if
            nothing is flipped, no split has clean labels.
    """

    labels_are_true: bool = True
    num_classes: int
    class_names: Sequence[str]
    source_classes: Sequence[int] | None = None
    source_size: int | None = None
    size_options: str = "data.per_class or data.test_per_class"
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

    def sources(self) -> dict[str, str | None]:
        return self.noise.sources()

    def read(self) -> tuple[Images, Images]:
        """The training and the test images with their true labels.

        :meth:`setup` calls it once. It or the constructor must set ``class_names`` and
        ``input_shape``. Pixels may be decoded later, see :class:`labelnoise.data.subsets.Images`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no images: write read()")

    def _pixels(self, train: Images, test: Images) -> tuple[Tensor, Tensor]:
        """The pixels of the training and the test images."""
        return train.pixels(), test.pixels()

    def _draw_pool(self, pool: Images) -> NoiseRecord:
        """The given labels of the training images."""
        return self._draw(pool, "train")

    def setup(self, stage: str | None = None) -> None:
        """Read, select, flip and split; later calls do nothing."""
        if self._is_set_up:
            return
        self.prepare_data()  # does nothing if Lightning or another process has called it
        pool, test = self.read()
        self.num_classes = len(self.class_names)
        if self.source_size is None:
            self.source_size = len(pool)
        pool, test, dropped = self._select(pool, test)
        self._check_memory(len(pool), len(test))
        self.noise_record = self._draw_pool(pool)
        if dropped and self.noise_record.source_index is None:
            self.noise_record = replace(
                self.noise_record, dropped_outside_classes=dropped, source_index=pool.source_index
            )
        self._split(pool, test)
        self._is_set_up = True

    def _select(self, pool: Images, test: Images) -> tuple[Images, Images, int]:
        """The images to use, and the number of training images that the noise leaves out."""
        # Human labels can be outside the classes of the data.
        kept = self.noise.keeps(CleanSplit(pool.label, self.num_classes, **self._facts(pool)))
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
        return pool, test, dropped

    def _check_memory(self, train: int, test: int) -> None:
        """Refuse images that do not fit, before they are decoded."""
        shape = " x ".join(map(str, self.input_shape))
        # With full-batch training, all training images are also kept as float32.
        copies = 1 if self.batch_size is not None else 1 + 4
        size = math.prod(self.input_shape) * (copies * train + test) * world_size()
        contents = f"{train} training and {test} test images of {shape} bytes"
        log.info(check_fits(size, contents, f"write a smaller {self.size_options}"))

    def _split(self, pool: Images, test: Images) -> None:
        """Hold out the validation split, and read the pixels without a second copy."""
        record = self.noise_record
        rest, held = hold_out(record.label, self.val_fraction, stream(self.split_seed, "split"))
        order = torch.cat([rest, held])
        images, test_images = self._pixels(pool.subset(order), test)

        def part(image: Tensor, index: Tensor) -> Split:
            clean, places = record.clean_label, pool.source_index[index]
            clean = None if clean is None else clean[index]
            return Split(image, record.label[index], clean, places, self.normalize)

        self.train = part(images[: len(rest)], rest)
        self.val = part(images[len(rest) :], held) if len(held) else None
        # After the pool, because its record can determine the noise of the test images.
        drawn = self._draw(test, "test", record)
        self.test = Split(
            test_images, drawn.label, drawn.clean_label, test.source_index, self.normalize
        )
        if len(held) < round(len(pool) * self.val_fraction):
            log.warning(
                f"data.val_fraction={self.val_fraction}: only {len(held)} of {len(pool)} images "
                "are held out, so that every class keeps a training image"
            )
        warn_of_missing_classes(self)

    def _draw(
        self, images: Images, part: str, train_record: NoiseRecord | None = None
    ) -> NoiseRecord:
        facts = {**self._facts(images), "part": part, "train_record": train_record}
        return self.noise.draw(CleanSplit(images.label, self.num_classes, **facts))

    def _facts(self, images: Images) -> dict[str, Any]:
        """The arguments of CleanSplit besides the labels."""
        return {
            # A function, because few samples are needed and all as floats take much memory.
            "features": lambda index: self.normalize(images.subset(index).pixels()),
            "class_names": self.class_names,
            "source_index": images.source_index,
            "source_classes": self.source_classes,
            "source_size": self.source_size,
            "labels_are_true": self.labels_are_true,
        }

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
