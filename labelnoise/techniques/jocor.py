"""JoCoR: two networks drawn towards each other, trained on the samples that both find easy."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.config.ranges import check_options_of
from labelnoise.losses import ce
from labelnoise.selection import select_keep_rate
from labelnoise.techniques.two_networks import TwoNetworks


def joint_loss(
    first: Float[Tensor, "n K"],
    second: Float[Tensor, "n K"],
    label: Int[Tensor, " n"],
    weight: float,
) -> Float[Tensor, " n"]:
    """(1 - lambda) (CE(p, y) + CE(q, y)) + lambda (KL(p || q) + KL(q || p)) of every sample.

    p and q are the softmax of the two networks' logits. The sum of the two divergences is computed
    as sum_k (p_k - q_k) (log p_k - log q_k). Gradients flow into both networks through all of it.

    Args:
        weight: lambda in [0, 1]: 0 is cross-entropy alone, 1 agreement alone.

    Source: JoCoR (CVPR 2020).

    Example:
        >>> import torch
        >>> same = torch.zeros(1, 2)
        >>> joint_loss(same, same, torch.tensor([0]), 0.5)
        tensor([0.6931])
    """
    log_p, log_q = F.log_softmax(first, 1), F.log_softmax(second, 1)
    divergence = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1)
    return (1 - weight) * (ce(first, label) + ce(second, label)) + weight * divergence


class JoCoR(TwoNetworks):
    """Two networks with one loss, trained on the samples of every batch that have it smallest.

    The loss is :func:`joint_loss`, the share of a batch that epoch t keeps is
    R(t) = 1 - min(t / T_k tau, tau), :func:`labelnoise.techniques.two_networks.keep_share`. A
    sample is left out where its label fits neither network, or where the two disagree.
    Source: JoCoR (CVPR 2020). Its other options and what it logs are those of
    :class:`labelnoise.techniques.two_networks.TwoNetworks`.

    Args:
        agreement_weight: lambda in [0, 1]; the default is our choice.

    Raises:
        InputError: a number out of range.
    """

    name = "jocor"

    def __init__(
        self,
        forget_rate: float | str | None = None,
        agreement_weight: float = 0.5,
        warmup_epochs: int = 10,
        every_n_steps: int | None = None,
    ) -> None:
        super().__init__(forget_rate, warmup_epochs, every_n_steps)
        check_options_of(JoCoR, "technique.jocor.", agreement_weight=agreement_weight)
        self.agreement_weight = agreement_weight

    def losses(
        self, first: Float[Tensor, "n K"], second: Float[Tensor, "n K"], label: Int[Tensor, " n"]
    ) -> Float[Tensor, "n 1"]:
        return joint_loss(first, second, label, self.agreement_weight)[:, None]

    def choose(self, loss: Float[Tensor, "n 1"], share: float) -> Bool[Tensor, "n 1"]:
        return select_keep_rate(loss[:, 0], share)[:, None]
