"""Selection by wrong events: the epochs with a prediction other than the given label."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor


def select_wrong_events(
    wrong_events: Float[Tensor, " n"], epochs: int, max_wrong_share: float
) -> Bool[Tensor, " n"]:
    """Keep the samples for which wrong_events <= max_wrong_share * epochs.

    Args:
        wrong_events: number of epochs in which the network predicted another class than the given
            label.
        epochs: number of recorded epochs.
        max_wrong_share: in [0, 1). With 0.5 a sample is kept if it was predicted as its given label
            in at least half of the epochs. The threshold is our choice.

    Example:
        >>> import torch
        >>> select_wrong_events(torch.tensor([0.0, 2.0, 3.0]), 4, 0.5).tolist()
        [True, True, False]
    """
    return wrong_events <= max_wrong_share * epochs
