"""Cross-entropy and losses that limit the influence of wrong labels."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.config.ranges import check_options_of


def ce(logits: Float[Tensor, "n K"], label: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Cross-entropy, -log p_y with p = softmax(logits): plain training.

    Example:
        >>> ce(torch.zeros(1, 2), torch.tensor([0]))
        tensor([0.6931])
    """
    return F.cross_entropy(logits, label, reduction="none")


def mae(logits: Float[Tensor, "n K"], label: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """1 - p_y, half the mean absolute error sum_k |p_k - 1[k = y]| (Ghosh et al., AAAI 2017).

    The factor 1/2 is from the GCE paper; with it the loss is :func:`gce` with q = 1.

    Example:
        >>> mae(torch.zeros(1, 2), torch.tensor([0]))
        tensor([0.5000])
    """
    return power_loss(logits, label, 1.0)


def gce(
    logits: Float[Tensor, "n K"], label: Int[Tensor, " n"], q: float = 0.7
) -> Float[Tensor, " n"]:
    """Generalized cross-entropy, (1 - p_y^q) / q (NeurIPS 2018).

    It is cross-entropy in the limit q -> 0, and :func:`mae` at q = 1.

    Args:
        q: in (0, 1].

    Example:
        >>> gce(torch.zeros(1, 2), torch.tensor([0]), q=1.0)
        tensor([0.5000])
    """
    check_options_of(gce, q=q)
    return power_loss(logits, label, q)


def sce(
    logits: Float[Tensor, "n K"],
    label: Int[Tensor, " n"],
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
) -> Float[Tensor, " n"]:
    """Symmetric cross-entropy, alpha CE + beta RCE (Y. Wang et al., ICCV 2019).

    RCE is the reverse cross-entropy of :func:`rce`.

    Args:
        alpha: weight of the cross-entropy, at least 0.
        beta: weight of the reverse cross-entropy, at least 0.
        log_zero: replaces log 0, below 0; -9.21 in published code, see :func:`rce`.

    Example:
        >>> sce(torch.zeros(1, 2), torch.tensor([0]), alpha=0.0, beta=1.0)
        tensor([2.])
    """
    check_options_of(sce, alpha=alpha, beta=beta)
    return alpha * ce(logits, label) + beta * rce(logits, label, log_zero)


def nce_rce(
    logits: Float[Tensor, "n K"],
    label: Int[Tensor, " n"],
    alpha: float = 1.0,
    beta: float = 1.0,
    log_zero: float = -4.0,
) -> Float[Tensor, " n"]:
    """Active passive loss, alpha NCE + beta RCE (X. Ma et al., ICML 2020).

    The active part NCE = -log p_y / -sum_k log p_k (cross-entropy divided by its sum over all K
    labels) raises p_y. The passive part RCE (see :func:`rce`) lowers the other p_k.

    Args:
        alpha: weight of the normalized cross-entropy, at least 0.
        beta: weight of the reverse cross-entropy, at least 0.
        log_zero: replaces log 0, below 0; -9.21 in published code, see :func:`rce`.

    Example:
        >>> nce_rce(torch.zeros(1, 2), torch.tensor([0]), alpha=1.0, beta=0.0)
        tensor([0.5000])
    """
    check_options_of(nce_rce, alpha=alpha, beta=beta)
    normalized = ce(logits, label) / -F.log_softmax(logits, 1).sum(1)
    return alpha * normalized + beta * rce(logits, label, log_zero)


def rce(
    logits: Float[Tensor, "n K"], label: Int[Tensor, " n"], log_zero: float = -4.0
) -> Float[Tensor, " n"]:
    """Reverse cross-entropy, -sum_k p_k log 1[k = y] = -A (1 - p_y) with log 0 := A.

    Published code of SCE and of NCE+RCE clamps the one-hot label at 1e-4, so A = log 1e-4 = -9.21
    (github.com/HanxunH/SCELoss-Reproduce, github.com/HanxunH/Active-Passive-Losses). The default
    -4 is from the text of the SCE paper.

    Args:
        log_zero: A, below 0.

    Example:
        >>> rce(torch.zeros(1, 2), torch.tensor([0]))
        tensor([2.])
        >>> rce(torch.zeros(1, 2), torch.tensor([0]), log_zero=-9.21)
        tensor([4.6050])
    """
    check_options_of(rce, log_zero=log_zero)
    return -log_zero * mae(logits, label)


def power_loss(
    logits: Float[Tensor, "n K"], label: Int[Tensor, " n"], q: float
) -> Float[Tensor, " n"]:
    """(1 - p_y^q) / q for q > 0, computed as -expm1(q log p_y) / q, which is exact for small q.

    Example:
        >>> power_loss(torch.zeros(1, 2), torch.tensor([0]), 2.0)
        tensor([0.3750])
    """
    return -torch.expm1(-q * ce(logits, label)) / q
