"""Subsets of images: some of each class, and a held-out split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from labelnoise.errors import InputError


@dataclass(frozen=True)
class Images:
    """Images with their true labels; pixels are read only by :meth:`pixels`.

    Selecting therefore copies no image.

    Attributes:
        label: (n,) int64.
        source_index: (n,) int64, the position of each image in the published data set or file list.
        read: maps k of these positions to the images, (k, c, h, w) uint8.

    Example:
        >>> image = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1)
        >>> images = Images.in_memory(image, torch.tensor([5, 6, 7]))
        >>> chosen = images.subset(torch.tensor([2, 0]))
        >>> chosen.label.tolist(), chosen.pixels().flatten().tolist()
        ([7, 5], [2, 0])
    """

    label: Int[Tensor, " n"]
    source_index: Int[Tensor, " n"]
    read: Callable[[Int[Tensor, " k"]], UInt8[Tensor, "k c h w"]]

    @classmethod
    def in_memory(cls, image: UInt8[Tensor, "n c h w"], label: Int[Tensor, " n"]) -> Images:
        """All images of a decoded data set."""
        every = torch.arange(len(label))

        def read(places: Int[Tensor, " k"]) -> UInt8[Tensor, "k c h w"]:
            return image if torch.equal(places, every) else image.index_select(0, places)

        return cls(label, every, read)

    def __len__(self) -> int:
        return len(self.label)

    def subset(self, index: Int[Tensor, " k"]) -> Images:
        """The images at ``index``, in that order."""
        return replace(self, label=self.label[index], source_index=self.source_index[index])

    def pixels(self) -> UInt8[Tensor, "n c h w"]:
        """The pixels; no copy if these are all images of a data set in memory, in order."""
        return self.read(self.source_index)


def equal_per_class(
    label: Int[Tensor, " n"],
    per_class: int,
    generator: torch.Generator,
    option: str = "per_class",
) -> Int[Tensor, " k"]:
    """The sorted positions of ``per_class`` samples of each present class, drawn at random.

    Raises:
        InputError: ``per_class`` is below 1 or above the size of the smallest class.

    Example:
        >>> equal_per_class(torch.tensor([0, 1, 0, 1, 1]), 2, torch.Generator().manual_seed(0))
        tensor([0, 1, 2, 4])
    """
    classes, counts = label.unique(return_counts=True)
    if not 1 <= per_class <= int(counts.min()):
        raise InputError(
            f"data.{option} is {per_class} but the smallest class has {int(counts.min())} images; "
            f"write 1 to {int(counts.min())}, or null for all"
        )
    chosen = []
    for k in classes:
        members = (label == k).nonzero().flatten()
        chosen.append(members[torch.randperm(len(members), generator=generator)[:per_class]])
    return torch.cat(chosen).sort().values


def hold_out(
    label: Int[Tensor, " n"], fraction: float, generator: torch.Generator
) -> tuple[Int[Tensor, " rest"], Int[Tensor, " held"]]:
    """Split samples at random into a rest and round(fraction n) held-out samples, both sorted.

    The samples are put into a random order. The first samples are held out, except the last sample
    of each class, so that every class keeps a sample in the rest.

    Args:
        label: the given labels.
        fraction: in [0, 1). Fewer samples are held out if the rest would have fewer samples than
            there are classes.
        generator: a generator on the CPU.

    Raises:
        InputError: the fraction is outside [0, 1), or a part would have no samples.

    Example:
        >>> label = torch.tensor([0, 0, 0, 0, 1, 1, 2])
        >>> rest, held = hold_out(label, 0.5, torch.Generator().manual_seed(0))
        >>> label[rest].tolist(), label[held].tolist()
        ([0, 1, 2], [0, 0, 0, 1])
    """
    if not 0 <= fraction < 1:
        raise InputError(f"data.val_fraction is {fraction}; write a share in [0, 1), 0 for none")
    n = len(label)
    size = round(n * fraction)
    order = torch.randperm(n, generator=generator)
    _, classes = label[order].unique(return_inverse=True)
    stays = torch.zeros(n, dtype=torch.bool)
    if n:
        last = torch.zeros(int(classes.max()) + 1, dtype=torch.int64)
        stays[last.scatter_reduce_(0, classes, torch.arange(n), "amax")] = True
    held = order[~stays][:size]
    if size == n or (fraction > 0 and len(held) == 0):
        raise InputError(
            f"data.val_fraction={fraction} of {n} training images in {int(stays.sum())} classes "
            f"leaves {n - size} training and {len(held)} validation images; write another share, "
            "0 for none"
        )
    is_held = torch.zeros(n, dtype=torch.bool)
    is_held[held] = True
    return (~is_held).nonzero().flatten(), is_held.nonzero().flatten()
