"""The stopping rules by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from labelnoise.stoppers.detectors import (
    Detector,
    LocalMinimumDetector,
    PatienceDetector,
    ThresholdDetector,
)
from labelnoise.theory import OvertakeDetector


class Stopper(NamedTuple):
    """A stopping rule that can be followed from what a run has logged.

    Attributes:
        metrics: what its detector is given, in this order; a leading "-" turns the sign.
        detector: makes a new one; its options are set by keyword, ``detector(patience=3)``.
        happened: what it saw where it stops, as half a sentence.
        keeps_best: whether it keeps its candidate also where training ends before it stops.
        knows: what it is told that a user would not have; empty where nothing.
    """

    metrics: tuple[str, ...]
    detector: Callable[..., Detector]
    happened: str
    keeps_best: bool = False
    knows: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names, without signs."""
        return tuple(metric.lstrip("-") for metric in self.metrics)

    def values(self, row: Mapping[str, float]) -> tuple[float, ...] | None:
        """What the detector is given of the metrics of one step; None where some are missing.

        Example:
            >>> STOPPERS["val_acc"].values({"val/acc": 0.5, "val/loss": 1.0})
            (-0.5,)
        """
        if not all(name in row for name in self.names):
            return None
        signs = (-1.0 if metric.startswith("-") else 1.0 for metric in self.metrics)
        return tuple(sign * row[name] for sign, name in zip(signs, self.names, strict=True))


# How many observations in a row confirm a rule, and how many it averages, where nobody says
# otherwise: all are our choice. Those of label_wave and gmm_gap were chosen after the fact, among
# 27 and 160 variants, by their regret on 15 runs on CIFAR-10 (airplane against automobile, 900 to
# 1,800 samples), and that of label_wave did not carry over to 8 other runs: no evidence that they
# are good elsewhere.
STOPPERS = {
    "val_loss": Stopper(
        ("val/loss",),
        partial(PatienceDetector, patience=10),
        "the validation loss stopped falling",
        keeps_best=True,
    ),
    "val_acc": Stopper(
        ("-val/acc",),
        partial(PatienceDetector, patience=10),
        "the validation accuracy stopped rising",
        keeps_best=True,
    ),
    "coefficients": Stopper(
        ("coefficients/gamma_max", "coefficients/rho_max"),
        partial(OvertakeDetector, patience=3),
        "noise memorization overtook signal learning (max rho > max gamma)",
    ),
    "dominance": Stopper(
        ("gradients/dominance",),
        partial(ThresholdDetector, threshold=1.0, patience=2),
        "noisy samples took over the gradient (dominance < 1)",
        knows="true labels",
    ),
    # Label Wave, arXiv 2502.07551.
    "label_wave": Stopper(
        ("dynamics/prediction_changes",),
        partial(LocalMinimumDetector, window=2, patience=1),
        "predictions began to change more again",
    ),
    "gmm_gap": Stopper(
        ("-dynamics/gmm_gap",),
        partial(LocalMinimumDetector, window=3, patience=1),
        "the two groups of losses began to close up",
    ),
}
