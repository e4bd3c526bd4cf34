"""ELR: a loss that holds the predictions near their temporal average from early training."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Batch
from labelnoise.losses.robust import ce
from labelnoise.techniques.target_loss import TargetLoss


def elr(
    logits: Float[Tensor, "n K"],
    label: Int[Tensor, " n"],
    target: Float[Tensor, "n K"],
    strength: float,
) -> Float[Tensor, " n"]:
    """Early-learning regularization, CE + lambda log(1 - <t, p>) (NeurIPS 2020).

    p is clamped to [1e-4, 1 - 1e-4], which keeps the logarithm finite. The gradient flows through
    p but not through the target t.

    Args:
        target: t, temporal averages of predictions; a row sums to at most 1.
        strength: lambda, at least 0; 0 is cross-entropy.

    Example:
        >>> target = torch.tensor([[0.5, 0.5]])
        >>> elr(torch.zeros(1, 2), torch.tensor([0]), target, strength=1.0).abs() < 1e-6
        tensor([True])
    """
    agreement = (target * _clamped(logits)).sum(1)
    return ce(logits, label) + strength * torch.log1p(-agreement)


def elr_target(
    target: Float[Tensor, "n K"], logits: Float[Tensor, "n K"], beta: float
) -> Float[Tensor, "n K"]:
    """t <- beta t + (1 - beta) p / sum_k p_k, p clamped to [1e-4, 1 - 1e-4].

    Example:
        >>> elr_target(torch.zeros(1, 2), torch.zeros(1, 2), beta=0.75)
        tensor([[0.1250, 0.1250]])
    """
    p = _clamped(logits.detach())
    return beta * target + (1 - beta) * p / p.sum(1, keepdim=True)


def _clamped(logits: Float[Tensor, "n K"]) -> Float[Tensor, "n K"]:
    return logits.softmax(1).clamp(1e-4, 1 - 1e-4)


class ELR(TargetLoss):
    """Trains on :func:`elr`; the target of a sample is the temporal average of its predictions.

    Targets start at 0. Each step first updates the targets of its batch with the current
    predictions and then computes the loss. This also updates samples that a technique leaves out.
    Source: Liu et al., NeurIPS 2020 (github.com/shengliu66/ELR).

    Args:
        beta: momentum of the average, in [0, 1).
        strength: lambda, at least 0.

    Raises:
        InputError: a number out of range.
    """

    def __init__(self, beta: float = 0.7, strength: float = 3.0) -> None:
        super().__init__()
        check_options_of(ELR, "technique.elr.", beta=beta, strength=strength)
        self.beta = beta
        self.strength = strength

    def first_targets(self, label: Int[Tensor, " n"], num_classes: int) -> Float[Tensor, "n K"]:
        return torch.zeros(len(label), num_classes, device=label.device)

    def next_targets(
        self, target: Float[Tensor, "n K"], logits: Float[Tensor, "n K"]
    ) -> Float[Tensor, "n K"]:
        return elr_target(target, logits, self.beta)

    def sample_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        target = self.next_targets(self.target[batch.index], logits)
        return elr(logits, batch.label, target, self.strength)
