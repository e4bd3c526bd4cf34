"""JoCoR: two networks with one joint loss train on the samples with the smallest joint loss."""

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

    p and q are the softmax of the logits of the two networks. The sum of the two divergences is
    sum_k (p_k - q_k) (log p_k - log q_k). Gradients flow into both networks.

    Args:
        weight: lambda in [0, 1]: 0 is cross-entropy only, 1 is agreement only.

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
    """Two networks train on the samples of every batch with the smallest :func:`joint_loss`.

    Epoch t keeps the share R(t) = 1 - min(t / T_k tau, tau) of a batch
    (:func:`labelnoise.techniques.two_networks.keep_share`). A sample has a large joint loss if
    neither network predicts its label or if the two networks disagree.
    Other options and metrics: :class:`labelnoise.techniques.two_networks.TwoNetworks`.
    Source: JoCoR (CVPR 2020).

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

    def trains_on_cross_entropy(self, num_classes: int) -> bool:
        return self.agreement_weight == 0

    def losses(
        self, first: Float[Tensor, "n K"], second: Float[Tensor, "n K"], label: Int[Tensor, " n"]
    ) -> Float[Tensor, "n 1"]:
        return joint_loss(first, second, label, self.agreement_weight)[:, None]

    def choose(self, loss: Float[Tensor, "n 1"], share: float) -> Bool[Tensor, "n 1"]:
        return select_keep_rate(loss[:, 0], share)[:, None]
