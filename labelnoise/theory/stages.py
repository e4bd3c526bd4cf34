"""Find the steps of the two stages: learning the signal, then memorizing the wrong labels."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from labelnoise.checks import COUNT, check_number
from labelnoise.errors import InputError
from labelnoise.state import Stateful


@dataclass(frozen=True)
class Stages:
    """The milestones of one run; None for a milestone that is not reached or unknown.

    Attributes:
        clean_fit_step: the first logged step at which all clean samples are fitted.
        crossing_step: the first logged step from which max rho_bar over the noisy samples stays
            above max gamma.
        memorized_step: the first logged step at which all noisy samples are memorized.
        theory_t1: the order of T1 in steps (`stage_one_length`), up to an unknown constant.
    """

    clean_fit_step: int | None
    crossing_step: int | None
    memorized_step: int | None
    theory_t1: float | None


def find_stages(
    steps: Sequence[int] | NDArray[Any],
    *,
    acc_clean: Sequence[float | None] | NDArray[Any],
    acc_noisy: Sequence[float | None] | NDArray[Any],
    gamma_max: Sequence[float | None] | NDArray[Any] | None = None,
    rho_max_noisy: Sequence[float | None] | NDArray[Any] | None = None,
    theory_t1: float | None = None,
) -> Stages:
    """Find the milestones in logged curves, which have one entry for each of ``steps``.

    The accuracies on clean and on noisy training samples (0 to 1) need the true labels. An entry
    nan or None reaches no milestone; for example, acc_noisy is nan if no sample is noisy. Without
    ``gamma_max`` or ``rho_max_noisy`` the crossing step is unknown.

    Raises:
        InputError: a curve has another length than ``steps``, or ``steps`` decrease.

    Source: Stage I and Stage II of arXiv 2505.18909.

    Example:
        >>> find_stages([0, 10, 20], acc_clean=[0.5, 1, 1], acc_noisy=[0.5, 0, 1])
        Stages(clean_fit_step=10, crossing_step=None, memorized_step=20, theory_t1=None)
    """
    if np.any(np.diff(np.asarray(steps, dtype=float)) < 0):
        raise InputError("steps must not decrease: sort the logged rows by step")

    def first(reached: NDArray[np.bool_]) -> int | None:
        return int(steps[int(reached.argmax())]) if reached.any() else None

    def curve(name: str, values: Sequence[float | None] | NDArray[Any]) -> NDArray[np.float64]:
        if len(values) != len(steps):
            raise InputError(
                f"{name} has {len(values)} entries but there are {len(steps)} steps: give "
                "one entry for each step, and nan for an unknown value"
            )
        return np.asarray(values, dtype=float)

    crossing_step = None
    if gamma_max is not None and rho_max_noisy is not None:
        lead = curve("rho_max_noisy", rho_max_noisy) - curve("gamma_max", gamma_max)
        # At the start, and with mini-batches, rho can lead for a short time.
        to_the_end = np.logical_and.accumulate(((lead > 0) | np.isnan(lead))[::-1])[::-1]
        crossing_step = first((lead > 0) & to_the_end)
    return Stages(
        clean_fit_step=first(curve("acc_clean", acc_clean) == 1),
        crossing_step=crossing_step,
        memorized_step=first(curve("acc_noisy", acc_noisy) == 1),
        theory_t1=theory_t1,
    )


class StageDetector(Stateful, ABC):
    """Reads gamma and rho one observation after another and finds one step, without true labels.

    A subclass defines `_observe`, which sets the candidate step and returns whether the observation
    confirms the candidate. After ``patience`` confirmations in a row the candidate is final.
    Observations with nan are skipped.

    Args:
        patience: required number of confirmations in a row, at least 1.

    Attributes:
        triggered_step: the final step; None before.

    Raises:
        InputError: a patience below 1.
    """

    state: ClassVar[tuple[str, ...]] = ("triggered_step", "candidate_step", "confirmations")

    def __init__(self, patience: int) -> None:
        check_number("patience", patience, COUNT)
        self.patience = patience
        self.triggered_step: int | None = None
        self.candidate_step: int | None = None
        self.confirmations = 0

    @abstractmethod
    def _observe(self, step: int, lead: float) -> bool:
        """Read the lead gamma_max - rho_max; return whether it confirms the candidate."""

    def update(self, step: int, gamma_max: float, rho_max: float) -> bool:
        """Read max gamma, and max rho_bar over *all* samples; returns True from the trigger on."""
        # float(): a checkpoint with numpy scalars cannot be loaded with weights_only.
        lead = float(gamma_max) - float(rho_max)
        if self.triggered_step is None and not math.isnan(lead):
            self.confirmations = self.confirmations + 1 if self._observe(step, lead) else 0
            if self.confirmations >= self.patience:
                self.triggered_step = self.candidate_step
        return self.triggered_step is not None


class LeadPeakDetector(StageDetector):
    """Finds the end of Stage I, the step of the largest lead gamma_max - rho_max.

    The lead grows as long as signal learning is faster than the memorization of every noise patch.
    From the peak of the lead on, memorization is faster. The peak is before the step of
    `OvertakeDetector`. A peak is a lead above 0 and above all earlier leads. It is confirmed by
    ``patience`` observations in a row with a lead strictly below the peak.

    gamma_max is the maximum over both classes. If only one class has noisy samples, the peak can be
    that of the other class, before the class with noisy samples has learned its signal.

    Example:
        >>> detector = LeadPeakDetector(patience=2)
        >>> curves = zip([0, 10, 20, 30, 40], [0.0, 1.0, 2.0, 2.5, 2.8], [0.0, 0.4, 0.8, 1.5, 2.2])
        >>> [detector.update(step, gamma, rho) for step, gamma, rho in curves]
        [False, False, False, False, True]
        >>> detector.triggered_step
        20
    """

    state = ("peak",)

    def __init__(self, patience: int) -> None:
        super().__init__(patience)
        # At step 0 both coefficients are 0. A peak must be above 0, so step 0 is not a peak.
        self.peak = 0.0

    def _observe(self, step: int, lead: float) -> bool:
        if lead > self.peak:
            self.peak, self.candidate_step = lead, step
        return self.candidate_step is not None and lead < self.peak


class OvertakeDetector(StageDetector):
    """Finds the step at which memorization overtakes signal learning.

    It is the first of ``patience`` observations in a row with rho_max strictly above gamma_max.

    Example:
        >>> detector = OvertakeDetector(patience=2)
        >>> curves = zip([0, 10, 20, 30], [0.0, 1.0, 1.1, 1.2], [0.0, 0.4, 1.2, 1.9])
        >>> [detector.update(step, gamma, rho) for step, gamma, rho in curves]
        [False, False, False, True]
        >>> detector.triggered_step
        20
    """

    def _observe(self, step: int, lead: float) -> bool:
        if lead >= 0:
            return False
        if self.confirmations == 0:
            self.candidate_step = step
        return True
