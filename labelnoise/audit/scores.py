"""Rank labels by suspicion, and estimate the probability that a label is wrong.

The ranking is by the margin loss over the whole training. The probability comes from the
predictions out of fold, by Bayes' rule, and is then made monotone in the ranking:

    P(true = j | given = g, x) = r_j(x) T[j, g] / sum_l r_l(x) T[l, g]
    p_g(x) = sum_j r_j(x) T[j, g]

p(x) is the prediction of a network that has not trained on the sample. It was trained on given
labels, so it predicts given labels. r(x) is the prediction of the true label, and T[j, g] =
P(given g | true j) the transition matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar

from labelnoise.audit.evidence import Evidence

# The most confident predictions of a class stand for samples of this true class: this share of the
# predictions, and at least this number of them.
CONFIDENT_SHARE, LEAST_CONFIDENT = 0.1, 20
# Iterations of Richardson and Lucy; the change of r after 50 is below the error of T.
ITERATIONS = 50
BLOCK = 4096  # rows
# The temperature is fitted on at most this number of samples.
MOST_FOR_TEMPERATURE = 100_000


@dataclass(frozen=True)
class Verdict:
    """The verdict on n labels.

    Attributes:
        wrong: (n,) estimated probability that the given label is wrong, in [0, 1]. It does not
            decrease when the suspicion increases.
        suggested: (n,) the most probable class other than the given class.
        order: (n,) the samples from the most to the least suspicious.
        transition_matrix: (K, K), of :func:`transition_expected`; it agrees with ``wrong``.
        temperature: of :func:`fit_temperature`.
    """

    wrong: Float[np.ndarray, " n"]
    suggested: Int[np.ndarray, " n"]
    order: Int[np.ndarray, " n"]
    transition_matrix: Float[np.ndarray, "K K"]
    temperature: float

    @property
    def noise_rate(self) -> float:
        """The estimated share of wrong labels."""
        return float(self.wrong.mean())


def judge(evidence: Evidence) -> Verdict:
    """Rank the labels and estimate the probabilities that they are wrong.

    The predictions are sharpened or flattened by one temperature. The matrix T comes from the most
    confident predictions (:func:`transition_from_confident`), and r from :func:`deconvolve`. The
    probability of a wrong label is the isotonic regression of 1 - P(true = g | given = g, x) on the
    suspicion, so both have the same order. The estimate uses no true
    label. It is too high if the network is weak, because its confident predictions are then often
    wrong (docs/own_data.md has the measured reliability).
    """
    from sklearn.isotonic import IsotonicRegression  # slow to import

    label = evidence.label
    probability = evidence.probability.astype(np.float32)
    temperature = fit_temperature(probability, label)
    probability = sharpen(probability, temperature)
    matrix = transition_from_confident(probability, label)
    posterior = deconvolve(probability, matrix) * matrix.T.astype(np.float32)[label]
    posterior /= np.maximum(posterior.sum(1, keepdims=True), np.finfo(np.float32).tiny)
    given = np.take_along_axis(posterior, label[:, None], 1)[:, 0]
    regression = IsotonicRegression(y_min=0.0, y_max=1.0, increasing=True)
    wrong = regression.fit_transform(evidence.suspicion, 1.0 - given.astype(np.float64))
    np.put_along_axis(posterior, label[:, None], -1.0, 1)
    order = np.argsort(-evidence.suspicion, kind="stable")
    suggested = posterior.argmax(1)
    np.put_along_axis(posterior, label[:, None], 0.0, 1)
    expected = transition_expected(posterior, wrong, label)
    return Verdict(wrong, suggested, order, expected, temperature)


def fit_temperature(probability: Float[np.ndarray, "n K"], label: Int[np.ndarray, " n"]) -> float:
    """The temperature t for which softmax(log p / t) has the lowest cross-entropy on the labels.

    The labels are the given labels of samples that the network has not trained on. With more than
    100,000 samples an evenly spaced part is used.

    Source: Guo et al., ICML 2017, section 4.2.

    Example:
        >>> p = np.array([[0.99, 0.01], [0.99, 0.01], [0.99, 0.01], [0.01, 0.99]])
        >>> fit_temperature(p, np.array([0, 0, 1, 1])) > 3
        True
    """
    step = -(-len(label) // MOST_FOR_TEMPERATURE)
    logarithm, part = _log(probability[::step]), label[::step, None]

    def cross_entropy(log_temperature: float) -> float:
        scaled = logarithm / np.exp(log_temperature)
        scaled -= scaled.max(1, keepdims=True)
        total = np.log(np.exp(scaled).sum(1))
        return float((total - np.take_along_axis(scaled, part, 1)[:, 0]).mean())

    return float(np.exp(minimize_scalar(cross_entropy, bounds=(-3, 3), method="bounded").x))


def sharpen(probability: Float[np.ndarray, "n K"], temperature: float) -> Float[np.ndarray, "n K"]:
    """softmax(log p / t).

    Example:
        >>> sharpen(np.array([[0.8, 0.2]]), 0.5).round(3).tolist()
        [[0.941, 0.059]]
    """
    scaled = _log(probability) / temperature
    scaled = np.exp(scaled - scaled.max(1, keepdims=True))
    return scaled / scaled.sum(1, keepdims=True)


def _log(probability: Float[np.ndarray, "n K"]) -> Float[np.ndarray, "n K"]:
    return np.log(np.maximum(probability, 1e-7))


def transition_from_confident(
    probability: Float[np.ndarray, "n K"], label: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "K K"]:
    """T[j, g]: the share of given label g among the most confident predictions of class j.

        T[j, g] = (c_jg + 1) / (c_j + K)

    c_j is the number of the most confident predictions of class j, c_jg the number of these with
    given label g. They are a tenth of the predictions of the class, but at least 20. The added 1 is
    the rule of succession: without it a label that no confident prediction has would be impossible.
    A class that is never predicted counts as clean. This is the confident joint (arXiv 1911.00068)
    with a higher threshold, because the usual threshold counts mistakes of a weak network as wrong
    labels.

    Example:
        >>> p = np.array([[0.9, 0.1]] * 20 + [[0.2, 0.8]] * 20)
        >>> label = np.array([0] * 15 + [1] * 5 + [1] * 20)
        >>> transition_from_confident(p, label).round(3).tolist()
        [[0.727, 0.273], [0.045, 0.955]]
    """
    classes = probability.shape[1]
    predicted = probability.argmax(1)
    matrix = np.eye(classes)
    for j in range(classes):
        members = np.flatnonzero(predicted == j)
        if not len(members):
            continue
        count = max(LEAST_CONFIDENT, int(np.ceil(CONFIDENT_SHARE * len(members))))
        order = np.argsort(-probability[members, j], kind="stable")[:count]
        found = np.bincount(label[members[order]], minlength=classes)
        matrix[j] = (found + 1) / (found.sum() + classes)
    return matrix


def transition_expected(
    other: Float[np.ndarray, "n K"], wrong: Float[np.ndarray, " n"], label: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "K K"]:
    """T[j, g]: the expected share of given label g among the samples of true class j.

        T[j, g] = sum_{i: y_i = g} q_ij / sum_i q_ij

    q_ij is the estimated probability that j is the true class of sample i: 1 - wrong_i for its
    given class, and the rest in proportion to ``other``. The matrix of
    :func:`transition_from_confident` counts few samples and adds one to each count, so it shows
    more noise than the labels have. A class with no expected sample counts as clean.

    Args:
        other: (n, K), the weights of the other classes; 0 for the given class.
        wrong: (n,), the probability that the given label is wrong.
        label: (n,), the given labels.

    Example:
        >>> other, label = np.array([[0.0, 1], [0, 1], [1, 0]]), np.array([0, 0, 1])
        >>> transition_expected(other, np.array([0.0, 0.5, 0.0]), label).round(3).tolist()
        [[1.0, 0.0], [0.333, 0.667]]
    """
    n, classes = other.shape
    joint = np.zeros((classes, classes))
    for g in range(classes):
        members = label == g
        weights = other[members].astype(np.float64)
        total = weights.sum(1, keepdims=True)
        shares = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        joint[:, g] = (shares * wrong[members, None]).sum(0)
        joint[g, g] = members.sum() - joint[:, g].sum()
    found = joint.sum(1, keepdims=True)
    return np.where(found > 0, joint / np.maximum(found, np.finfo(float).tiny), np.eye(classes))


def deconvolve(
    probability: Float[np.ndarray, "n K"], matrix: Float[np.ndarray, "K K"]
) -> Float[np.ndarray, "n K"]:
    """r with sum_j r_j T[j, g] close to p_g, r >= 0, sum_j r_j = 1, for each row.

        r_j <- r_j sum_g T[j, g] p_g / (r T)_g

    50 iterations from r = p. Each iteration lowers the Kullback-Leibler divergence of r T from p.

    Source: W. H. Richardson, J. Opt. Soc. Am. 62 (1972); L. B. Lucy, Astron. J. 79 (1974).

    Example:
        >>> T = np.array([[0.8, 0.2], [0.2, 0.8]])
        >>> deconvolve(np.array([[0.74, 0.26]]), T).round(2).tolist()
        [[0.9, 0.1]]
    """
    matrix = matrix.astype(probability.dtype)
    back = np.ascontiguousarray(matrix.T)
    tiny = np.finfo(probability.dtype).tiny
    true = np.maximum(probability, tiny)
    for start in range(0, len(true), BLOCK):  # blocks that stay in the processor's cache
        block, target = true[start : start + BLOCK], probability[start : start + BLOCK]
        ratio = np.empty_like(block)
        for _ in range(ITERATIONS):
            np.maximum(block @ matrix, tiny, out=ratio)
            np.divide(target, ratio, out=ratio)
            block *= ratio @ back
        block /= np.maximum(block.sum(1, keepdims=True), tiny)
    return true
