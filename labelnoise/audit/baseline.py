"""A baseline without a neural network: logistic regression on simple features of the samples."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from labelnoise.audit.evidence import Evidence
from labelnoise.audit.write import average_precision, is_noisy
from labelnoise.data.batch import Split
from labelnoise.data.pool import PoolDataModule
from labelnoise.errors import InputError

# A picture is divided into this number of cells along each side.
CELLS = 4


@dataclass(frozen=True)
class Baseline:
    """Predictions of the baseline.

    Attributes:
        suspicion: (n,) 1 - p(given label), by a regression that has not trained on the sample.
        accuracy: the share of the given labels that the regression predicts.
    """

    suspicion: Float[np.ndarray, " n"]
    accuracy: float


def check_baseline(data: PoolDataModule) -> None:
    """Refuse images if scikit-image is not installed.

    Raises:
        InputError: scikit-image is missing; the message has the command that installs it.
    """
    if _are_images(data.train) and find_spec("skimage") is None:
        raise InputError(
            "baseline=true needs scikit-image for images: write pip install scikit-image, or "
            "baseline=false"
        )


def baseline_of(data: PoolDataModule, evidence: Evidence) -> Baseline:
    """Fit a logistic regression on all samples outside each fold, and predict the fold.

    The features of an image are histograms of oriented gradients in 4 x 4 cells (HOG, Dalal and
    Triggs, CVPR 2005). The features of other samples are their values, standardized over all
    samples. The regression is scikit-learn's with its default options and at most 1,000 iterations.

    Args:
        data: the data module after ``setup``.
        evidence: the evidence of the folds; each source index is that of a sample in ``data``.
    """
    features = _features(data, evidence.source_index)
    probability = np.zeros((len(features), len(evidence.class_names)))
    for fold in np.unique(evidence.fold):
        held = evidence.fold == fold
        classes, predicted = _fit(features[~held], evidence.label[~held], features[held])
        probability[np.ix_(held, classes)] = predicted
    given = np.take_along_axis(probability, evidence.label[:, None], 1)[:, 0]
    accuracy = float((probability.argmax(1) == evidence.label).mean())
    return Baseline(1 - given, accuracy)


def _fit(
    known: Float[np.ndarray, "m F"], label: Int[np.ndarray, " m"], asked: Float[np.ndarray, "b F"]
) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, "b k"]]:
    """The classes in ``label``, and their predicted probabilities for the rows of ``asked``."""
    from sklearn.linear_model import LogisticRegression  # slow to import

    classes = np.unique(label)
    if len(classes) == 1:
        return classes, np.ones((len(asked), 1))
    regression = LogisticRegression(max_iter=1000)
    return classes, regression.fit(known, label).predict_proba(asked)


def _features(data: PoolDataModule, source: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n F"]:
    """The features of the training and validation samples, in the order of ``source``."""
    found: dict[int, Any] = {}
    for split in filter(None, (data.train, data.val)):
        make = _histograms if _are_images(split) else _values
        rows = zip(split.source_index.tolist(), split.input, strict=True)
        found |= {index: make(row) for index, row in rows}
    features = np.stack([found[index] for index in source.tolist()])
    if _are_images(data.train):
        return features
    spread = features.std(0)
    return (features - features.mean(0)) / np.where(spread > 0, spread, 1.0)


def _are_images(split: Split) -> bool:
    return split.input.ndim == 4 and not split.input.dtype.is_floating_point


def _values(row: Tensor) -> Float[np.ndarray, " F"]:
    return row.numpy().astype(np.float64).ravel()


def _histograms(image: Tensor) -> Float[np.ndarray, " F"]:
    from skimage.feature import hog

    pixels = image.numpy().transpose(1, 2, 0)
    side = max(1, pixels.shape[0] // CELLS)
    grey = pixels.shape[2] == 1
    found: Float[np.ndarray, " F"] = hog(
        pixels[..., 0] if grey else pixels,
        pixels_per_cell=(side, side),
        cells_per_block=(2, 2),
        channel_axis=None if grey else -1,
    )
    return found


def compare(baseline: Baseline, evidence: Evidence) -> dict[str, float | None]:
    """The numbers for audit.json: accuracy, rank correlation (Spearman's) and average precision.

    The average precision is None if the true labels are unknown, or if all labels are right or all
    are wrong.
    """
    from scipy.stats import spearmanr

    noisy = is_noisy(evidence)
    ranked = None if noisy is None else noisy[np.argsort(-baseline.suspicion, kind="stable")]
    defined = ranked is not None and ranked.any() and not ranked.all()
    return {
        "out_of_fold_accuracy": baseline.accuracy,
        "rank_correlation": float(spearmanr(baseline.suspicion, evidence.suspicion).statistic),
        "average_precision": average_precision(ranked) if ranked is not None and defined else None,
    }
