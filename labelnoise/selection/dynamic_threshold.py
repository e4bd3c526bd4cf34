"""A threshold that follows every sample's recorded loss, at a noise rate estimated from it."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from labelnoise.selection.loss import select_smallest


def select_dynamic_threshold(
    losses: Float[Tensor, "epochs n"],
) -> tuple[Bool[Tensor, " n"], Float[Tensor, " n"], float]:
    """Keep the samples of small loss in the later epochs, in an estimated number.

    With early_i and late_i the means of sample i's losses over the first and the last h = T // 2 of
    T recorded epochs,

        noise rate = share of the samples with late_i >= early_i,
        kept = the round((1 - noise rate) n) samples of smallest late_i.

    In Stage I the network learns the signal. The losses of clean samples fall, and the losses of
    noisy samples rise. The threshold is the largest late loss that is kept. Each selection sets it
    anew. In Stage II all losses fall, and the estimated noise rate falls too, so the rule is for
    early training. A loss that is not finite counts as risen and is never kept. If every loss has
    risen, no sample is kept.

    Source: the idea, to record every sample's loss and to set a threshold by a noise rate from
    early against late loss, is that of DLT (arXiv 2104.02570). Formula, halves and the score are
    our choice, not the paper's.

    Args:
        losses: one row an epoch, two at least, in their order.

    Returns:
        The mask, late_i as a score of suspicion, and the estimated noise rate.

    Example:
        >>> import torch
        >>> losses = torch.tensor([[0.7, 0.7, 0.7, 0.7], [0.2, 0.9, 0.3, 0.6]])
        >>> kept, _, noise_rate = select_dynamic_threshold(losses)
        >>> kept.tolist(), noise_rate
        ([True, False, True, True], 0.25)
    """
    half = len(losses) // 2
    early, late = losses[:half].double().mean(0), losses[-half:].double().mean(0)
    risen = ~(late < early)
    kept = select_smallest(late, int((~risen).sum()))
    return kept, late, risen.double().mean().item()
