"""Rules that count how often training went against the given label."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def select_wrong_events(
    wrong_events: Float[Tensor, " n"], epochs: int, max_wrong_share: float
) -> Bool[Tensor, " n"]:
    """Keep the samples for which wrong_events <= max_wrong_share * epochs.

    Args:
        wrong_events: epochs in which another class than the given one was predicted.
        epochs: that were recorded.
        max_wrong_share: in [0, 1). The threshold is our choice: at one half a sample is kept that
            was predicted as its given label in at least half of the epochs.

    Example:
        >>> import torch
        >>> select_wrong_events(torch.tensor([0.0, 2.0, 3.0]), 4, 0.5).tolist()
        [True, True, False]
    """
    return wrong_events <= max_wrong_share * epochs
