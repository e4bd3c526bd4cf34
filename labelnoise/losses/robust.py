"""Losses that bound what a wrong label can do."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.errors import InputError


def ce(logits: Float[Tensor, "n K"], label: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Cross-entropy, -log p_y with p = softmax(logits): plain training.

    Example:
        >>> ce(torch.zeros(1, 2), torch.tensor([0]))
        tensor([0.6931])
    """
    return F.cross_entropy(logits, label, reduction="none")


def mae(logits: Float[Tensor, "n K"], label: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """1 - p_y, half the mean absolute error sum_k |p_k - 1[k = y]| (Ghosh et al., AAAI 2017).

    Halved as in the GCE paper, so that it is :func:`gce` with q = 1.

    Example:
        >>> mae(torch.zeros(1, 2), torch.tensor([0]))
        tensor([0.5000])
    """
    return 1.0 - _given(logits, label).exp()


def gce(
    logits: Float[Tensor, "n K"], label: Int[Tensor, " n"], q: float = 0.7
) -> Float[Tensor, " n"]:
    """Generalized cross-entropy, (1 - p_y^q) / q (NeurIPS 2018).

    Between cross-entropy, its limit for q -> 0, and :func:`mae` at q = 1. Computed as
    -expm1(q log p_y) / q, exact for small q too.

    Args:
        q: in (0, 1].

    Example:
        >>> gce(torch.zeros(1, 2), torch.tensor([0]), q=1.0)
        tensor([0.5000])
    """
    if not 0 < q <= 1:
        raise InputError(f"q must be above 0 and at most 1, got {q}")
    return -torch.expm1(q * _given(logits, label)) / q


def _given(logits: Float[Tensor, "n K"], label: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """log p_y."""
    return -F.cross_entropy(logits, label, reduction="none")
