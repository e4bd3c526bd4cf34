"""Selection by the current loss: samples of small loss count as clean."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labelnoise.dynamics.mixture import in_lower_component


def select_log2(loss: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Keep the samples with loss below log 2, that is p(given label) > 1/2.

    With two classes these are the samples predicted as their given label. At the end of Stage I
    the threshold separates clean and noisy samples exactly (arXiv 2505.18909, sample selection).

    Example:
        >>> select_log2(torch.tensor([0.1, 0.6, 0.7, 3.0])).tolist()
        [True, True, False, False]
    """
    return loss < math.log(2.0)


def select_smallest(loss: Float[Tensor, " n"], count: int) -> Bool[Tensor, " n"]:
    """Keep the ``count`` samples of smallest loss, or fewer if fewer losses are finite.

    Example:
        >>> select_smallest(torch.tensor([0.3, torch.nan, 0.1]), 1).tolist()
        [False, False, True]
    """
    finite = loss.isfinite()
    order = torch.where(finite, loss, torch.inf).argsort(stable=True)
    kept = torch.zeros_like(finite).index_fill(0, order[:count], True)
    return kept & finite


def select_keep_rate(loss: Float[Tensor, " n"], keep_rate: float) -> Bool[Tensor, " n"]:
    """Keep the round(keep_rate n) samples of smallest loss, and at least one.

    A loss that is not finite is never kept.
    Source: the small-loss rule of Co-teaching (NeurIPS 2018) with R = 1 - noise rate. Keeping one
    sample if the number rounds to 0 is our choice.

    Example:
        >>> select_keep_rate(torch.tensor([0.3, 0.1, 2.0, 0.2]), 0.75).tolist()
        [True, True, False, True]
        >>> select_keep_rate(torch.tensor([0.3, 0.1]), 0.2).tolist()
        [False, True]
    """
    return select_smallest(loss, max(1, round(keep_rate * len(loss))))


def select_gmm(loss: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Keep the samples that a two-component mixture assigns to the component of lower mean.

    The mixture is :func:`labelnoise.dynamics.fit_two_gaussians` of the losses, clipped at their
    99th percentile (:func:`labelnoise.dynamics.in_lower_component`). The rule needs no noise rate
    and no random draws. A loss that is not finite is never kept.
    Source: the division step of DivideMix (ICLR 2020). Clipping and the fit are our choice.

    Example:
        >>> select_gmm(torch.tensor([0.1, 0.2, 0.1, 0.2, 3.9, 4.1, 60.0])).tolist()
        [True, True, True, True, False, False, False]
    """
    kept = in_lower_component(loss.double().cpu().numpy())
    return torch.from_numpy(kept).to(loss.device)
