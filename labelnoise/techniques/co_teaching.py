"""Co-teaching: each of two networks trains on the small-loss samples of the other network."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labelnoise.losses import ce
from labelnoise.selection import select_keep_rate
from labelnoise.techniques.two_networks import TwoNetworks


def exchange(loss: Float[Tensor, "n 2"], share: float) -> Bool[Tensor, "n 2"]:
    """The samples to train each network on: those of smallest loss in the *other* network.

    Args:
        loss: one column for each network.
        share: R in [0, 1]; each network chooses round(R n) samples, and at least one.

    Returns:
        Column k marks the samples for network k, which the other network chose.

    Source: Co-teaching (NeurIPS 2018). Rounding to the nearest integer is our choice.

    Example:
        >>> exchange(torch.tensor([[0.1, 9.0], [0.2, 0.1], [9.0, 0.2]]), 2 / 3).T.tolist()
        [[False, True, True], [True, True, False]]
    """
    first, second = loss.T
    return torch.stack([select_keep_rate(second, share), select_keep_rate(first, share)], 1)


class CoTeaching(TwoNetworks):
    """In every batch each of two networks chooses the small-loss samples for the other network.

    In epoch t each network chooses the share R(t) = 1 - min(t tau / T_k, tau) of a batch
    (:func:`labelnoise.techniques.two_networks.keep_share`). A network does not train on its own
    wrong choices. Options and metrics: :class:`labelnoise.techniques.two_networks.TwoNetworks`.
    Source: Co-teaching (NeurIPS 2018).
    """

    name = "co_teaching"

    def losses(
        self, first: Float[Tensor, "n K"], second: Float[Tensor, "n K"], label: Int[Tensor, " n"]
    ) -> Float[Tensor, "n 2"]:
        return torch.stack([ce(first, label), ce(second, label)], 1)

    def choose(self, loss: Float[Tensor, "n 2"], share: float) -> Bool[Tensor, "n 2"]:
        return exchange(loss, share)
