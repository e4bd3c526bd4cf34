"""Means over seeds with confidence intervals, and paired tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95


class Mean(NamedTuple):
    """A mean over n runs with its 95 % confidence interval.

    Attributes:
        sd: the standard deviation s with n - 1 in the denominator; NaN for n = 1.
        low, high: mean -+ t s / sqrt(n), with the 0.975 quantile t of Student's distribution with
            n - 1 degrees of freedom; NaN for n = 1. The interval assumes that the values of the
            runs are independent and normal.
    """

    mean: float
    sd: float
    n: int
    low: float
    high: float


def mean_of(values: ArrayLike) -> Mean:
    """The mean of the values that are not NaN.

    Example:
        >>> [round(x, 3) for x in mean_of([1, 2, 3])]
        [2.0, 1.0, 3, -0.484, 4.484]
    """
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    n = len(known)
    if n < 2:
        return Mean(float(known[0]) if n else np.nan, np.nan, n, np.nan, np.nan)
    mean, sd = float(known.mean()), float(known.std(ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * sd / math.sqrt(n)
    return Mean(mean, sd, n, mean - half, mean + half)


def paired_p(differences: ArrayLike) -> float:
    """The two-sided p value of the paired t test; NaN for fewer than two pairs.

    With equal differences the test has no variance: p is 1 if all are 0, else NaN.

    Example:
        >>> round(paired_p([1, 2, 3]), 4), paired_p([0, 0]), paired_p([1, 1])
        (0.0742, 1.0, nan)
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return np.nan
    if np.ptp(values) == 0:
        return 1.0 if values[0] == 0 else np.nan
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Holm's adjustment for many comparisons (Scandinavian Journal of Statistics 6, 1979).

    The adjustment multiplies the i-th smallest of m values by m - i + 1. The results are then made
    monotone and cut at 1. NaN stays NaN and does not count in m.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN is sorted to the end
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return adjusted
