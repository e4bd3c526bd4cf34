"""Standardize columns of features by the statistics of training rows."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from labelnoise.data.loaders import ShiftAndScale

# Number of rows that are converted to double precision at once.
CHUNK = 65536


class Standardize(ShiftAndScale):
    """Shift and scale each column to mean 0 and standard deviation 1 of the given rows.

    (x - mean) / std, with the standard deviation of the n rows (divided by n). A column that is
    constant in these rows becomes 0 in all rows.

    Args:
        train: (n, d), the rows to learn from.

    Attributes:
        constant: (d,) bool, the constant columns.

    Example:
        >>> ready = Standardize(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
        >>> ready(torch.tensor([[3.0, 5.0], [4.0, 9.0]]))
        tensor([[1., 0.],
                [2., 0.]])
    """

    def __init__(self, train: Float[Tensor, "n d"]) -> None:
        # In double precision and from the deviations, so that columns of large mean stay exact.
        chunks = train.split(CHUNK)
        mean = torch.stack([rows.double().sum(0) for rows in chunks]).sum(0) / len(train)
        squares = torch.stack([(rows.double() - mean).square().sum(0) for rows in chunks]).sum(0)
        self.constant = train.amin(0) == train.amax(0)
        scale = torch.where(self.constant, 0, (squares / len(train)).rsqrt())
        super().__init__(mean.float(), scale.float())
