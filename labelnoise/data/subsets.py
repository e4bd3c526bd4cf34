"""Subsets of samples: some of each class, a held-out split, and folds."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from labelnoise.errors import InputError


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
            f"data.{option} is {per_class} but the smallest class has {int(counts.min())} samples; "
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
            f"data.val_fraction={fraction} of {n} training samples in {int(stays.sum())} classes "
            f"leaves {n - size} training and {len(held)} validation samples; write another share, "
            "0 for none"
        )
    is_held = torch.zeros(n, dtype=torch.bool)
    is_held[held] = True
    return (~is_held).nonzero().flatten(), is_held.nonzero().flatten()


def fold_of(label: Int[Tensor, " n"], folds: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """The fold 0..folds-1 of each sample, drawn at random with equal shares of every class.

    The samples are sorted by class, in a random order within each class, and dealt to the folds in
    turn. The sizes of two folds, and the numbers of samples of a class in them, differ by at most
    1.

    Args:
        label: the given labels.
        folds: 2 to n.
        generator: a generator on the CPU.

    Raises:
        InputError: fewer samples than folds.

    Example:
        >>> label = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
        >>> fold = fold_of(label, 2, torch.Generator().manual_seed(0))
        >>> [label[fold == k].tolist() for k in (0, 1)]
        [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    n = len(label)
    if folds > n:
        raise InputError(
            f"there are {n} samples, too few for {folds} folds: write at most {n} folds"
        )
    order = torch.randperm(n, generator=generator)
    order = order[label[order].argsort(stable=True)]
    fold = torch.empty(n, dtype=torch.int64)
    fold[order] = torch.arange(n) % folds
    return fold
