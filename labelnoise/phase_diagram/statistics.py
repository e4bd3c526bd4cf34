"""Statistics over the seeds of a cell, and a power law through the cells of a diagram."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from labelnoise.errors import InputError


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


@dataclass(frozen=True)
class Power:
    """y = factor x^slope, with the 95 % confidence interval of the slope; nan with one seed."""

    slope: float
    low: float
    high: float
    factor: float

    def __str__(self) -> str:
        interval = "" if np.isnan(self.low) else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"slope {self.slope:.3f}{interval}, factor {self.factor:.3g}"


def fit_power(x: NDArray[Any], y: NDArray[Any]) -> Power:
    """Least squares in logarithms for every seed; the mean slope with Student's t interval.

    The cells of a diagram share their seeds, so only the seeds are independent. A cell with a seed
    without a number is left out, because the mean of the other seeds would be biased.

    Args:
        x: (cells,).
        y: (cells, seeds); nan if a run has no number.

    Raises:
        InputError: fewer than three cells with numbers above 0, or only one distinct x.

    Example:
        >>> x = np.array([1.0, 10.0, 100.0, 1000.0])
        >>> print(fit_power(x, 3 * x[:, None] ** 2))
        slope 2.000, factor 3
    """
    kept = is_complete(y) & (x > 0)
    a, b = np.log(x[kept]), np.log(y[kept])
    if len(a) < 3 or np.ptp(a) == 0:
        raise InputError(
            "a power law needs three cells at different x with a number for all seeds, "
            f"got {len(a)}"
        )
    slopes, offsets = np.polyfit(a, b, 1)
    slope, seeds = float(slopes.mean()), y.shape[1]
    half = np.nan
    if seeds > 1:
        half = student.ppf(0.975, seeds - 1) * slopes.std(ddof=1) / np.sqrt(seeds)
    return Power(slope, slope - half, slope + half, float(np.exp(offsets.mean())))


def is_complete(y: NDArray[Any]) -> NDArray[np.bool_]:
    """(...,) whether all seeds (last axis) have a number above 0."""
    return np.asarray((np.nan_to_num(y) > 0).all(-1))
