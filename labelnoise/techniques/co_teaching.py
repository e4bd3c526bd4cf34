"""Co-teaching: two networks, each trained on the samples that the other finds easy."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labelnoise.losses import ce
from labelnoise.selection import select_keep_rate
from labelnoise.techniques.two_networks import TwoNetworks


def exchange(loss: Float[Tensor, "n 2"], share: float) -> Bool[Tensor, "n 2"]:
    """The samples that each of two networks trains on: those of smallest loss to the *other* one.

    Args:
        loss: a column a network.
        share: R in [0, 1]; each network chooses round(R n) samples, and one at least.

    Returns:
        Column k is what network k trains on, chosen by the other.

    Source: Co-teaching (NeurIPS 2018); rounding to the nearest is our choice.

    Example:
        >>> exchange(torch.tensor([[0.1, 9.0], [0.2, 0.1], [9.0, 0.2]]), 2 / 3).T.tolist()
        [[False, True, True], [True, True, False]]
    """
    first, second = loss.T
    return torch.stack([select_keep_rate(second, share), select_keep_rate(first, share)], 1)


class CoTeaching(TwoNetworks):
    """Two networks that each choose, in every batch, the small-loss samples the other trains on.

    Epoch t keeps the share R(t) = 1 - min(t / T_k tau, tau) of a batch,
    :func:`labelnoise.techniques.two_networks.keep_share`. A network that errs in its choice is
    not the one that trains on it.
    Source: Co-teaching (NeurIPS 2018). Its options and what it logs are those of
    :class:`labelnoise.techniques.two_networks.TwoNetworks`.
    """

    name = "co_teaching"

    def losses(
        self, first: Float[Tensor, "n K"], second: Float[Tensor, "n K"], label: Int[Tensor, " n"]
    ) -> Float[Tensor, "n 2"]:
        return torch.stack([ce(first, label), ce(second, label)], 1)

    def choose(self, loss: Float[Tensor, "n 2"], share: float) -> Bool[Tensor, "n 2"]:
        return exchange(loss, share)
