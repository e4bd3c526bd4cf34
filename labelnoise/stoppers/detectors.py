"""Detectors, which read one measurement after another and trigger a stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from labelnoise.checks import COUNT, check_number
from labelnoise.state import Stateful


class Detector(Protocol):
    """The interface of a detector; ``labelnoise.theory.StageDetector`` has this interface too.

    Attributes:
        candidate_step: the step of the network to keep; None if there is none yet.
    """

    candidate_step: int | None

    @property
    def update(self) -> Callable[..., bool]:
        """``update(step, *values)`` reads the values of a step; it is True from the trigger on."""

    def state_dict(self) -> dict[str, Any]:
        """The state of the detector as plain values, for a checkpoint."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a :meth:`state_dict`."""


class PatienceDetector(Stateful):
    """Triggers when a value has not reached a new minimum for ``patience`` observations in a row.

    ``candidate_step`` is the step of the lowest value so far. If all values were NaN, there is no
    candidate and no trigger.

    Example:
        >>> detector = PatienceDetector(patience=2)
        >>> [detector.update(step, loss) for step, loss in enumerate([1.0, 0.5, 0.6, 0.5])]
        [False, False, False, True]
        >>> detector.candidate_step
        1
    """

    state = ("best", "candidate_step", "waited")

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


class ThresholdDetector(Stateful):
    """Triggers when a value was below ``threshold`` for ``patience`` observations in a row.

    ``candidate_step`` is the step of the first of these observations. NaN is skipped.

    Example:
        >>> detector = ThresholdDetector(1.0, patience=2)
        >>> [detector.update(step, value) for step, value in enumerate([3.0, 0.9, 1.1, 0.8, 0.7])]
        [False, False, False, False, True]
        >>> detector.candidate_step
        3
    """

    state = ("candidate_step", "below")

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


class LocalMinimumDetector(Stateful):
    """Triggers at the first local minimum of a value's moving average.

    The average m_t = (v_{t-w+1} + ... + v_t) / w is over the last w = ``window`` observations. The
    step of m_t is the step of the last observation. ``candidate_step`` is the step of the lowest
    m_t so far with m_t < m_{t-1}; while the average only rises, there is no candidate. The detector
    triggers when ``patience`` averages in a row are strictly above the average of the candidate. An
    equal average restarts this count but does not replace the candidate, so the candidate of a
    plateau is its first step. A lower average gives a new candidate. NaN is skipped.

    Args:
        window: number of observations in an average, at least 1; 1 means no averaging.
        patience: number of averages in a row that confirm a minimum, at least 1.

    Raises:
        InputError: a number below 1.

    Example:
        >>> detector = LocalMinimumDetector(window=2, patience=1)
        >>> changes = [900, 400, 200, 220, 260]  # averages 650, 300, 210, 240
        >>> [detector.update(step, value) for step, value in enumerate(changes)]
        [False, False, False, False, True]
        >>> detector.candidate_step
        3
    """

    state = ("candidate_step", "lowest", "before", "above", "recent")

    def __init__(self, window: int, patience: int) -> None:
        check_number("window", window, COUNT)
        check_number("patience", patience, COUNT)
        self.window = window
        self.patience = patience
        self.candidate_step: int | None = None
        self.lowest = math.inf
        self.before = -math.inf
        self.above = 0
        self.recent: list[float] = []

    def update(self, step: int, value: float) -> bool:
        if self.above >= self.patience or math.isnan(value):
            return self.above >= self.patience
        self.recent = [*self.recent, float(value)][-self.window :]
        if len(self.recent) < self.window:
            return False
        average = sum(self.recent) / self.window
        if average < min(self.lowest, self.before):
            self.lowest, self.candidate_step, self.above = average, step, 0
        elif average > self.lowest:
            self.above += 1
        else:
            self.above = 0
        self.before = average
        return self.above >= self.patience
