"""Load batches of a split in memory: index, augment and normalize whole batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from labelnoise.data.batch import Batch, Split
from labelnoise.errors import InputError
from labelnoise.processes.distributed import share_of
from labelnoise.seeding import stream


class ShiftAndScale:
    """(x - shift) * scale in single precision, on the device of x; always a copy."""

    def __init__(self, shift: Tensor, scale: Tensor) -> None:
        self._shift, self._scale = shift, scale
        self._by_device: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __call__(self, input: Shaped[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        # A copy, because float inputs belong to the caller.
        output = input.to(torch.float32, copy=True)
        if output.device not in self._by_device:  # once, because a transfer synchronizes a GPU
            sent = self._shift.to(output.device), self._scale.to(output.device)
            self._by_device[output.device] = sent
        shift, scale = self._by_device[output.device]
        return output.sub_(shift).mul_(scale)


class Normalize(ShiftAndScale):
    """Turn 8-bit images into floats of about zero mean and unit variance in each channel.

    (x / 255 - mean) / std, computed as (x - 255 mean) * 1 / (255 std) in place on one float tensor.

    Args:
        mean, std: of each channel, on the scale of 0 to 1.

    Raises:
        InputError: a std that is not above 0, or unequal lengths.

    Example:
        >>> images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
        >>> Normalize([0.5], [0.25])(images).flatten().tolist()
        [-2.0, 2.0]
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        if len(mean) != len(std) or not all(s > 0 for s in std):
            raise InputError(
                f"normalization has mean {list(mean)} and std {list(std)}; "
                "write one number for each channel in both, std above 0"
            )
        shift, scale = (255 * torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
        super().__init__(shift, 1 / scale)


def crop_and_flip(
    images: Shaped[Tensor, "b c h w"], padding: int, generator: torch.Generator
) -> Shaped[Tensor, "b c h w"]:
    """Shift each image by up to ``padding`` pixels and mirror it with probability 1/2.

    Each image is padded with ``padding`` zeros on every side. A window of the image size is cropped
    at one of the (2 padding + 1)^2 positions, drawn uniformly, and then mirrored or not.

    Args:
        images: of any type and on any device.
        padding: 0 only mirrors.
        generator: a generator on the CPU, so that the draws do not depend on the device of the
            images; it draws 2 b positions and then b mirrorings.

    Example:
        >>> image = torch.arange(1, 10).view(1, 1, 3, 3)
        >>> crop_and_flip(image, 1, torch.Generator().manual_seed(1))[0, 0]
        tensor([[0, 3, 2],
                [0, 6, 5],
                [0, 9, 8]])
    """
    b, c, h, w = images.shape
    places = torch.randint(0, 2 * padding + 1, (2, b, 1), generator=generator)
    mirrored = (torch.rand(b, 1, generator=generator) < 0.5).to(images.device)
    top, left = places.to(images.device)
    along = torch.arange(w, device=images.device)
    row = top + torch.arange(h, device=images.device)
    column = left + torch.where(mirrored, along.flip(0), along)
    # A gather over flattened pixels is several times faster than indexing with four tensors.
    pixel = (row[:, :, None] * (w + 2 * padding) + column[:, None, :]).view(b, 1, h * w)
    padded = F.pad(images, [padding] * 4).view(b, c, -1)
    return padded.gather(2, pixel.expand(b, c, -1)).view(b, c, h, w)


@runtime_checkable
class Augment(Protocol):
    """A random change of raw images with the same shape, such as :func:`crop_and_flip`."""

    def __call__(self, images: Tensor, *, generator: torch.Generator) -> Tensor: ...


class TensorLoader:
    """The batches of a split in memory, without collating and without workers.

    Batch t, counted over the whole training, depends only on the seeds and t. In pass
    p = t // batches_per_pass the order is a permutation from the stream (shuffle_seed, "shuffle",
    p). The augmentation of batch t draws from (augment_seed, "augment", t). A resumed run therefore
    needs only ``start`` to continue exactly.

    With ``world_size`` processes, each process serves its part of every batch. The whole batch has
    ``world_size * batch_size`` samples: the same samples with the same augmentation as in one
    process with this batch size. Rank r has the r-th contiguous part. The parts of a smaller last
    batch differ by at most one sample and may be empty.

    Args:
        split: the samples, on any device.
        batch_size: number of samples for each process; the last batch of a pass may be smaller.
            None: all samples without shuffling, in a batch that is built only once.
        shuffle_seed: None serves the samples in order.
        augment: applied to the raw input before it is normalized.
        augment_seed: seed of the augmentation.
        passes: number of passes over the split in an iteration (an epoch of Lightning). Full-batch
            gradient descent has one step in a pass, and an epoch would cost more than the step.
        start: t of the first batch. An iteration continues after the last served batch, up to the
            end of the epoch. None is 0; then samples without shuffling and augmentation are served
            from the first one in every iteration, also after an incomplete iteration, so that an
            evaluation never misses a batch.
        limit: ``limit_train_batches`` of the trainer: a number of batches, or a share of
            ``len(loader)``. It sets the length of an epoch.
        rank, world_size: number of this process, and number of processes.

    Attributes:
        position: t of the next batch, equal to the number of served batches.

    Raises:
        InputError: a batch size or a number of passes below 1.

    Example:
        >>> label = torch.arange(5)
        >>> split = Split(label.float().view(5, 1), label, label, label)
        >>> loader = TensorLoader(split, 2, shuffle_seed=0)
        >>> len(loader), [batch.index.tolist() for batch in loader]
        (3, [[4, 0], [3, 2], [1]])
        >>> resumed = TensorLoader(split, 2, shuffle_seed=0, start=1)
        >>> [batch.index.tolist() for batch in resumed], resumed.position
        ([[3, 2], [1]], 3)
    """

    def __init__(
        self,
        split: Split,
        batch_size: int | None,
        *,
        shuffle_seed: int | None = None,
        augment: Augment | None = None,
        augment_seed: int = 0,
        passes: int = 1,
        start: int | None = None,
        limit: int | float | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        check_batch_size(batch_size)
        if passes < 1:
            raise InputError(f"passes is {passes}; write 1 or more")
        self.split = split
        self.batch_size = max(1, len(split)) if batch_size is None else batch_size * world_size
        self.rank, self.world_size = rank, world_size
        self.shuffle_seed = None if batch_size is None else shuffle_seed
        self.augment, self.augment_seed = augment, augment_seed
        self.batches_per_pass = math.ceil(len(split) / self.batch_size)
        self.passes = passes
        self.position = start or 0
        self._always_same = batch_size is None and augment is None
        self._restarts = start is None and self.shuffle_seed is None and augment is None
        self._epoch_length = _limited(len(self), limit)
        self._order: tuple[int, Int[Tensor, " n"]] = (-1, split.index)

    def __len__(self) -> int:
        return self.batches_per_pass * self.passes

    def __iter__(self) -> Iterator[Batch]:
        if len(self) == 0:
            return
        if self._restarts:
            self.position = 0
        end = (self.position // self._epoch_length + 1) * self._epoch_length
        while self.position < end:
            t = self.position
            # Before the yield: if the consumer stops here, the batch counts as served.
            self.position += 1
            yield self._full_batch if self._always_same else self.batch(t)

    def batch(self, t: int) -> Batch:
        """This rank's part of batch ``t``."""
        number, place = divmod(t, self.batches_per_pass)
        index = self._pass_order(number)[place * self.batch_size : (place + 1) * self.batch_size]
        share = self._share(len(index))
        if self.augment is None:
            index = index[share]
        # index_select copies whole rows and is several times faster than input[index].
        input = self.split.input.index_select(0, index)
        if self.augment is not None:
            # The whole batch, so that the augmentation does not depend on the rank.
            input = self.augment(input, generator=stream(self.augment_seed, "augment", t))
            input, index = input[share], index[share]
        if self.split.normalize is not None:
            input = self.split.normalize(input)
        return self.split.served(input, index)

    @cached_property
    def _full_batch(self) -> Batch:
        return self.split.batch(self._share(len(self.split)))

    def _share(self, size: int) -> slice:
        return share_of(size, self.rank, self.world_size)

    def _pass_order(self, number: int) -> Int[Tensor, " n"]:
        if self.shuffle_seed is not None and self._order[0] != number:
            generator = stream(self.shuffle_seed, "shuffle", number)
            order = torch.randperm(len(self.split), generator=generator)
            self._order = (number, order.to(self.split.index.device))
        return self._order[1]


def check_batch_size(batch_size: int | None) -> None:
    """Refuse a batch size below 1."""
    if batch_size is not None and batch_size < 1:
        raise InputError(
            f"batch_size is {batch_size}; write 1 or more, or null for all samples at every step"
        )


def batches_so_far(trainer: pl.Trainer | None) -> int:
    """Number of training batches that a trainer has processed, over all epochs and interruptions.

    The checkpoint restores this count before loaders are created. ``global_step`` differs with
    accumulated batches or several optimizers. The count of ready batches is one too large after an
    exception in a step.
    """
    if trainer is None:
        return 0
    return trainer.fit_loop.epoch_loop.batch_progress.total.processed  # type: ignore[attr-defined]


def passes_so_far(trainer: pl.Trainer) -> int:
    """Number of complete passes over the training data; a trainer's epoch can have several passes.

    An epoch that ``limit_train_batches`` shortens counts as a pass.
    """
    loader = trainer.train_dataloader
    assert isinstance(loader, TensorLoader)
    batches = min(loader.batches_per_pass, int(trainer.num_training_batches))
    return batches_so_far(trainer) // batches


def ends_pass(trainer: pl.Trainer) -> bool:
    """Whether a pass over the training data ends with the current training batch.

    An epoch of the trainer can have several passes or a part of a pass.
    """
    loader = trainer.train_dataloader
    assert isinstance(loader, TensorLoader), "passes are counted by a TensorLoader"
    return batches_so_far(trainer) % loader.batches_per_pass == 0


def _limited(length: int, limit: int | float | None) -> int:
    """Number of batches in an epoch; as in Lightning an int is a number, a float is a share."""
    if limit is None:
        return length
    return max(1, min(length, limit) if isinstance(limit, int) else int(length * limit))
