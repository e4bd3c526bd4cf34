"""Fully connected networks: hidden layers with ReLU, or none for a linear classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from labelnoise.config.ranges import check_options_of
from labelnoise.models.images import initial_weights


class MLP(nn.Module):
    """Linear layers with ReLU between them, on rows of features, flattened patches and images.

        h_0 = x,   h_l = relu(W_l h_(l-1) + b_l),   F(x) = W h_L + b

    Initial hidden weights have Kaiming's normal distribution by fan-in, N(0, 2 / fan_in). The
    output layer has N(0, 0.01^2), so that initial predictions are near 1/K; biases are 0.

    Args:
        input_shape: the shape of a sample.
        num_classes: K.
        widths: number of units of each hidden layer; empty is a linear classifier.
        seed: the initial weights are drawn from ``stream(seed, "init")``.

    Raises:
        InputError: a width below 1.

    Example:
        >>> import torch
        >>> MLP((20,), 3, widths=[8])(torch.zeros(5, 20)).shape
        torch.Size([5, 3])
        >>> sum(weights.numel() for weights in MLP((1, 8, 8), 10, widths=[]).parameters())
        650
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_classes: int,
        *,
        widths: Sequence[int] = (256, 256),
        seed: int = 0,
    ) -> None:
        super().__init__()
        for width in widths:
            check_options_of(MLP, "model.", widths=width)
        sizes = [math.prod(input_shape), *widths]
        with initial_weights(seed):
            head = nn.Linear(sizes[-1], num_classes)
            hidden = [nn.Linear(before, after) for before, after in pairwise(sizes)]
            for layer in hidden:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        activated = [part for layer in hidden for part in (layer, nn.ReLU(inplace=True))]
        self.layers = nn.Sequential(nn.Flatten(), *activated, head)

    def forward(self, input: Tensor) -> Tensor:
        return self.layers(input)


class LinearClassifier(MLP):
    """Multinomial logistic regression: :class:`MLP` without hidden layers, F(x) = W x + b.

    Args:
        input_shape: the shape of a sample.
        num_classes: K.
        seed: the initial weights are drawn from ``stream(seed, "init")``.
    """

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, *, seed: int = 0) -> None:
        super().__init__(input_shape, num_classes, widths=(), seed=seed)
