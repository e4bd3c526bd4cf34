"""Rules that say when to stop, as detectors that see one measurement after another.

A detector's ``update(step, *values)`` returns True once it would stop, and ``candidate_step`` is
the step whose network it would keep. One rule serves twice: a technique stops training with it,
and a run's report card tells where it would have stopped a run that went on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from labelnoise.history import History
from labelnoise.theory import OvertakeDetector

# How many checks in a row confirm a rule where nobody says otherwise.
VAL_PATIENCE, COEFFICIENT_PATIENCE, DOMINANCE_PATIENCE = 10, 3, 2


class PatienceDetector:
    """Triggers when a value has not fallen below its best for ``patience`` observations in a row.

    ``candidate_step`` is the step of the best value so far, the one whose network is worth keeping;
    without any, as where all were NaN, nothing triggers.

    Example:
        >>> detector = PatienceDetector(patience=2)
        >>> [detector.update(step, loss) for step, loss in enumerate([1.0, 0.5, 0.6, 0.5])]
        [False, False, False, True]
        >>> detector.candidate_step
        1
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best = math.inf
        self.candidate_step: int | None = None
        self.waited = 0

    def update(self, step: int, value: float) -> bool:
        if value < self.best:
            self.best, self.candidate_step, self.waited = value, step, 0
        else:
            self.waited += 1
        return self.waited >= self.patience and self.candidate_step is not None

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "candidate_step": self.candidate_step,
            "waited": self.waited,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]
        self.candidate_step = state["candidate_step"]
        self.waited = state["waited"]


class ThresholdDetector:
    """Triggers when a value was below ``threshold`` for ``patience`` observations in a row.

    ``candidate_step`` is the first of them. NaN is passed over.

    Example:
        >>> detector = ThresholdDetector(1.0, patience=2)
        >>> [detector.update(step, value) for step, value in enumerate([3.0, 0.9, 1.1, 0.8, 0.7])]
        [False, False, False, False, True]
        >>> detector.candidate_step
        3
    """

    def __init__(self, threshold: float, patience: int) -> None:
        self.threshold = threshold
        self.patience = patience
        self.candidate_step: int | None = None
        self.below = 0

    def update(self, step: int, value: float) -> bool:
        if self.below >= self.patience or math.isnan(value):
            return self.below >= self.patience
        if value < self.threshold:
            self.below += 1
            if self.below == 1:
                self.candidate_step = step
        else:
            self.below, self.candidate_step = 0, None
        return self.below >= self.patience


class Stopper(NamedTuple):
    """A stopping rule that can be followed from what a run has logged.

    Attributes:
        metrics: what its detector is given, in this order; a leading "-" turns the sign.
        detector: makes a new one.
        knows: what it is told that a user would not have; empty where nothing.
    """

    metrics: tuple[str, ...]
    detector: Callable[[], Any]
    knows: str = ""


STOPPERS = {
    "val_loss": Stopper(("val/loss",), partial(PatienceDetector, VAL_PATIENCE)),
    "val_acc": Stopper(("-val/acc",), partial(PatienceDetector, VAL_PATIENCE)),
    "coefficients": Stopper(
        ("coefficients/gamma_max", "coefficients/rho_max"),
        partial(OvertakeDetector, COEFFICIENT_PATIENCE),
    ),
    "dominance": Stopper(
        ("gradients/dominance",),
        partial(ThresholdDetector, 1.0, DOMINANCE_PATIENCE),
        knows="true labels",
    ),
}


class Stop(NamedTuple):
    """Where a rule stops: the step it is sure at, and the step of the network it keeps."""

    stopped_step: int
    selected_step: int


def shadow_stop(stopper: Stopper, history: History) -> Stop | None:
    """Where ``stopper`` would have stopped the run that left ``history``; None where nowhere.

    Example:
        >>> history = History({step: {"val/loss": abs(step - 3.0)} for step in range(20)})
        >>> shadow_stop(STOPPERS["val_loss"], history)
        Stop(stopped_step=13, selected_step=3)
    """
    names = [name.lstrip("-") for name in stopper.metrics]
    signs = [-1.0 if name.startswith("-") else 1.0 for name in stopper.metrics]
    detector = stopper.detector()
    for step, row in sorted(history.rows.items()):
        if not all(name in row for name in names):
            continue
        values = [sign * row[name] for sign, name in zip(signs, names, strict=True)]
        if detector.update(step, *values):
            assert detector.candidate_step is not None
            return Stop(step, detector.candidate_step)
    return None
