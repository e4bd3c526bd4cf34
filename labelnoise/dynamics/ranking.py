"""The margin loss, and the area under the ROC curve of a ranking; without torch."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def auc(score: Float[np.ndarray, " n"], is_noisy: Bool[np.ndarray, " n"]) -> float:
    """Area under the ROC curve: P(a noisy sample scores above a clean one), ties counting half.

    NaN if all samples are clean or all are noisy.

    Example:
        >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
        0.875
    """
    noisy = int(is_noisy.sum())
    clean = len(is_noisy) - noisy
    if not noisy or not clean:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # mean ranks of ties, from 1
    return float((rank[is_noisy].mean() - (noisy + 1) / 2) / clean)


def margin_loss(margin: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """log(1 + exp(-margin)) in float64; NaN for NaN.

    Example:
        >>> margin_loss(np.array([0.0, -1000.0])).round(3).tolist()
        [0.693, 1000.0]
    """
    with np.errstate(invalid="ignore"):  # the margins of a run that diverged
        return np.logaddexp(0.0, -margin.astype(np.float64))
