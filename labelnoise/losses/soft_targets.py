"""Cross-entropy with soft targets."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.config.ranges import check_options_of
from labelnoise.losses.robust import ce


def label_smoothing(
    logits: Float[Tensor, "n K"], label: Int[Tensor, " n"], epsilon: float = 0.1
) -> Float[Tensor, " n"]:
    """Cross-entropy with the target (1 - epsilon) 1[k = y] + epsilon / K (Szegedy et al., 2016).

    Args:
        epsilon: in [0, 1); 0 is cross-entropy.

    Example:
        >>> label_smoothing(torch.tensor([[2.0, 0.0]]), torch.tensor([0]), epsilon=0.2)
        tensor([0.3269])
    """
    check_options_of(label_smoothing, epsilon=epsilon)
    return F.cross_entropy(logits, label, reduction="none", label_smoothing=epsilon)


def bootstrapping_soft(
    logits: Float[Tensor, "n K"], label: Int[Tensor, " n"], beta: float = 0.95
) -> Float[Tensor, " n"]:
    """-sum_k t_k log p_k with t = beta y + (1 - beta) p (Reed et al., ICLR 2015 workshop).

    The gradient also flows through the p in the target, so the loss is beta CE + (1 - beta) H(p).
    The second term makes predictions more confident. With a fixed p in the target, its gradient
    with respect to the logits would be p - p = 0.

    Args:
        beta: weight of the given label, in [0, 1]; 1 is cross-entropy.

    Example:
        >>> bootstrapping_soft(torch.zeros(1, 2), torch.tensor([0]), beta=0.5)
        tensor([0.6931])
    """
    check_options_of(bootstrapping_soft, beta=beta)
    return beta * ce(logits, label) + (1 - beta) * entropy(logits)


def bootstrapping_hard(
    logits: Float[Tensor, "n K"], label: Int[Tensor, " n"], beta: float = 0.8
) -> Float[Tensor, " n"]:
    """-sum_k t_k log p_k with t = beta y + (1 - beta) z; z is the predicted class (Reed et al.).

    The predicted class is a step function of the logits, so it is constant in the gradient.

    Args:
        beta: weight of the given label, in [0, 1]; 1 is cross-entropy.

    Example:
        >>> bootstrapping_hard(torch.tensor([[0.0, 3.0]]), torch.tensor([0]), beta=0.0)
        tensor([0.0486])
    """
    check_options_of(bootstrapping_hard, beta=beta)
    return beta * ce(logits, label) + (1 - beta) * ce(logits, logits.argmax(1))


def entropy(logits: Float[Tensor, "n K"]) -> Float[Tensor, " n"]:
    """H(p) = -sum_k p_k log p_k for p = softmax(logits), in nats.

    Example:
        >>> entropy(torch.zeros(1, 2))
        tensor([0.6931])
    """
    log_p = torch.log_softmax(logits, 1)
    return -(log_p.exp() * log_p).sum(1)


def soft_ce(logits: Float[Tensor, "n K"], target: Float[Tensor, "n K"]) -> Float[Tensor, " n"]:
    """-sum_k t_k log p_k, cross-entropy with a distribution t over the classes.

    Example:
        >>> soft_ce(torch.zeros(1, 2), torch.tensor([[0.3, 0.7]]))
        tensor([0.6931])
    """
    return -(target * torch.log_softmax(logits, 1)).sum(1)
