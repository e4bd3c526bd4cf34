"""Statistics over the seeds of a cell."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray


def over_seeds(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Mean, standard deviation (n - 1) and count of the numbers along the last axis, without nans.

    Example:
        >>> [a.tolist() for a in over_seeds(np.array([[1.0, 3.0, np.nan]]))]
        [[2.0], [1.4142135623730951], [2]]
    """
    count = (~np.isnan(values)).sum(-1)
    with warnings.catch_warnings():  # from cells with no number or one number
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(values, -1), np.nanstd(values, -1, ddof=1), count
