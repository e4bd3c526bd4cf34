"""Baselines for the selection rules: a random subset, and the clean samples."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor


def select_random(n: int, keep_share: float, generator: torch.Generator) -> Bool[Tensor, " n"]:
    """Keep round(keep_share n) samples drawn at random, and at least one.

    The mean precision is 1 - noise rate.

    Args:
        n: number of samples.
        keep_share: in (0, 1].
        generator: a generator on the CPU.

    Example:
        >>> select_random(5, 0.6, torch.Generator().manual_seed(0)).sum()
        tensor(3)
    """
    chosen = torch.randperm(n, generator=generator)[: max(1, round(keep_share * n))]
    return torch.zeros(n, dtype=torch.bool).index_fill(0, chosen, True)


def select_oracle(is_noisy: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Keep exactly the clean samples; this uses the true labels.

    Example:
        >>> select_oracle(torch.tensor([False, True])).tolist()
        [True, False]
    """
    return ~is_noisy
