"""What every rule is to be compared with: chance below, the truth above."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor


def select_random(n: int, keep_share: float, generator: torch.Generator) -> Bool[Tensor, " n"]:
    """Keep round(keep_share n) samples drawn at random, and one at least, whatever their labels.

    Its precision is 1 - noise rate on average: what a rule finds, it finds beyond that.

    Args:
        n: samples.
        keep_share: in (0, 1].
        generator: of the CPU.

    Example:
        >>> select_random(5, 0.6, torch.Generator().manual_seed(0)).sum()
        tensor(3)
    """
    chosen = torch.randperm(n, generator=generator)[: max(1, round(keep_share * n))]
    return torch.zeros(n, dtype=torch.bool).index_fill(0, chosen, True)


def select_oracle(is_noisy: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Keep just the clean samples, which takes their true labels.

    Example:
        >>> select_oracle(torch.tensor([False, True])).tolist()
        [True, False]
    """
    return ~is_noisy
