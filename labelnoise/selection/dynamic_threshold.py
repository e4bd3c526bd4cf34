"""Selection by recorded losses, with a noise rate estimated from early and late losses."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from labelnoise.selection.loss import select_smallest


def select_dynamic_threshold(
    losses: Float[Tensor, "epochs n"],
) -> tuple[Bool[Tensor, " n"], Float[Tensor, " n"], float]:
    """Keep the samples of small late loss; early and late losses give the number of samples.

    Of T recorded epochs, early_i and late_i are the means of the loss of sample i over the first
    and over the last T // 2 epochs. Then

        noise rate = share of the samples with late_i >= early_i,
        kept = the (1 - noise rate) n samples of smallest late_i.

    In Stage I the network learns the signal: the losses of clean samples fall, and the losses of
    noisy samples rise. In Stage II all losses fall, and so does the estimated noise rate. The rule
    is therefore for early training. A loss that is not finite counts as risen and is never kept. If
    every loss has risen, no sample is kept.

    Source: DLT (arXiv 2104.02570) has the idea to record losses and to estimate the noise rate from
    early and late losses. The formula, the halves and the score are our choice.

    Args:
        losses: one row for each epoch in order, at least two.

    Returns:
        The mask, the score late_i (higher is more suspicious), and the estimated noise rate.

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
