"""Scores that detect wrong labels by the measurements of all epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from labelnoise.dynamics.measurements import Measurements


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


SCORES = (
    "loss",
    "margin_loss",
    "aum",
    "wrong_events",
    "forgetting_events",
    "low_confidence",
    "variability",
    "prediction_changes",
)


class RunningScores:
    """Scores of every training sample over the epochs so far; higher is more suspicious.

    Only ``variability`` is no ranking of wrong labels: hard samples vary, and so do samples that
    are memorized late.

    ========================  ===================================================================
    loss                      loss in the last epoch
    margin_loss               mean over epochs of log(1 + exp(-margin)), the logistic loss of the
                              margin; unlike the mean margin it is not dominated by the epochs in
                              which the label is memorized (our choice, see docs/own_data.md)
    aum                       minus the mean margin (area under the margin, arXiv 2001.10528)
    wrong_events              number of epochs with a prediction other than the given label
    forgetting_events         number of changes from the given label to another prediction; the
                              number of epochs if the given label was never predicted (Toneva et
                              al., ICLR 2019)
    low_confidence            1 - mean over epochs of p(given label) (data maps, EMNLP 2020)
    variability               standard deviation over epochs of p(given label) (data maps)
    prediction_changes        number of changes of the predicted class
    ========================  ===================================================================

    Args:
        label: (n,) the given labels.

    Attributes:
        epochs: number of rows.
        changed: number of samples with another predicted class than in the previous row; 0 in the
            first row.

    Example:
        >>> scores = RunningScores(np.array([0, 0]))
        >>> for margin in ([2.0, -1.0], [4.0, -1.0]):
        ...     fits = np.array(margin) > 0
        ...     p = fits.astype(float)
        ...     scores.update(Measurements(1 - p, p, np.array(margin), (~fits).astype(int)))
        >>> scores.scores()["aum"].tolist(), scores.scores()["wrong_events"].tolist()
        ([-3.0, 1.0], [0.0, 2.0])
    """

    def __init__(self, label: Int[np.ndarray, " n"]) -> None:
        n = len(label)
        self.label = label
        self.epochs = 0
        self.changed = 0
        self._loss = np.zeros(n)
        self._margin, self._p, self._p_squared = np.zeros(n), np.zeros(n), np.zeros(n)
        self._margin_loss = np.zeros(n)
        self._wrong, self._forgotten, self._changes = np.zeros(n), np.zeros(n), np.zeros(n)
        self._prediction: NDArray[Any] | None = None

    def update(self, measured: Measurements) -> None:
        """Add the measurements of an epoch."""
        loss, p, margin, prediction = (np.asarray(values) for values in measured)
        wrong = prediction != self.label
        if self._prediction is not None:
            changed = prediction != self._prediction
            self._forgotten += wrong & (self._prediction == self.label)
            self._changes += changed
            self.changed = int(changed.sum())
        self._prediction = prediction
        self._loss = loss.astype(np.float64)
        p = p.astype(np.float64)
        self._margin += margin
        self._margin_loss += margin_loss(margin)
        self._p += p
        self._p_squared += p * p
        self._wrong += wrong
        self.epochs += 1

    @property
    def confidence(self) -> Float[np.ndarray, " n"]:
        """Mean over epochs of p(given label)."""
        return self._p / self.epochs

    @property
    def variability(self) -> Float[np.ndarray, " n"]:
        """Standard deviation over epochs of p(given label)."""
        variance = self._p_squared / self.epochs - self.confidence**2
        return np.sqrt(np.maximum(variance, 0.0))

    def scores(self) -> dict[str, Float[np.ndarray, " n"]]:
        """All scores by name, each (n,); none before the first epoch."""
        if self.epochs == 0:
            return {}
        never_right = self._wrong == self.epochs
        return {
            "loss": self._loss,
            "margin_loss": self._margin_loss / self.epochs,
            "aum": -self._margin / self.epochs,
            "wrong_events": self._wrong,
            "forgetting_events": np.where(never_right, self.epochs, self._forgotten).astype(float),
            "low_confidence": 1 - self.confidence,
            "variability": self.variability,
            "prediction_changes": self._changes,
        }

    def aucs(self, is_noisy: Bool[np.ndarray, " n"]) -> dict[str, float]:
        """The AUC of each score by name; empty if all samples are clean or all are noisy."""
        if is_noisy.all() or not is_noisy.any():
            return {}
        return {name: auc(score, is_noisy) for name, score in self.scores().items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything except the labels, as tensors and numbers, for checkpoints."""
        return {
            name: torch.tensor(value) if isinstance(value, np.ndarray) else value
            for name, value in vars(self).items()
            if name != "label"
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""
        for name, value in state.items():
            kept = value.cpu().numpy().copy() if isinstance(value, torch.Tensor) else value
            setattr(self, name, kept)
