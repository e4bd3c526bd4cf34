"""Which images of a data set are used: some of each class, some held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from labelnoise.errors import InputError


@dataclass(frozen=True)
class Images:
    """Images with their true labels; their pixels are read when they are asked for.

    So selecting copies no image, and of those selected there is one copy.

    Attributes:
        label: (n,) int64.
        source_index: (n,) int64, where each image stands in the published data set or file list.
        read: from k of these places to the images there, (k, c, h, w) uint8.

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
        """All of a data set that is decoded."""
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
        """The images themselves; no copy where they are all of a data set in memory, in order."""
        return self.read(self.source_index)


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
    label: Int[Tensor, " n"], fraction: float, generator: torch.Generator
) -> tuple[Int[Tensor, " rest"], Int[Tensor, " held"]]:
    """Split samples at random into a rest and round(fraction n) held out, each in order.

    The samples are put in a random order. Held out are the first of them, but never the last one of
    a class, so that each class keeps a sample in the rest. Where the first ones alone leave every
    class in the rest, this is the plain draw without regard to classes.

    Args:
        label: the given labels; these are the classes that count.
        fraction: in [0, 1). Fewer are held out where the rest would have fewer samples than there
            are classes.
        generator: of the CPU.

    Raises:
        InputError: the fraction is outside [0, 1), or leaves a part it asks for without samples.

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
            f"leaves {n - size} to train on and {len(held)} to validate on; write another share, 0 "
            "for none"
        )
    is_held = torch.zeros(n, dtype=torch.bool)
    is_held[held] = True
    return (~is_held).nonzero().flatten(), is_held.nonzero().flatten()
