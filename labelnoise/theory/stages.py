"""Where Stage I, learning the signal, ends and Stage II, memorizing the noise, is complete."""

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
    """The milestones of one run; None where one was never reached or cannot be known.

    Attributes:
        clean_fit_step: first logged step with every clean sample fitted.
        crossing_step: first from which max rho_bar over noisy samples stays above max gamma.
        memorized_step: first with every noisy sample predicted as its wrong label.
        theory_t1: the order of T1 in steps (`stage_one_length`), its constant unknown.
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
    """Find the milestones in logged curves, all as long as ``steps``.

    Needs the true labels (in the two accuracies, of clean and of noisy training samples, 0 to 1).
    An entry that is nan or None, as where there are no noisy samples, reaches no milestone; without
    ``gamma_max`` or ``rho_max_noisy`` the crossing is unknown.

    Raises:
        InputError: when a curve is not as long as ``steps`` or ``steps`` go back.

    Source: stages of arXiv 2505.18909, Stage I and Stage II.

    Example:
        >>> find_stages([0, 10, 20], acc_clean=[0.5, 1, 1], acc_noisy=[0.5, 0, 1])
        Stages(clean_fit_step=10, crossing_step=None, memorized_step=20, theory_t1=None)
    """
    if np.any(np.diff(np.asarray(steps, dtype=float)) < 0):
        raise InputError("steps go back somewhere, they must not decrease: sort the logged rows")

    def first(reached: NDArray[np.bool_]) -> int | None:
        return int(steps[int(reached.argmax())]) if reached.any() else None

    def curve(name: str, values: Sequence[float | None] | NDArray[Any]) -> NDArray[np.float64]:
        if len(values) != len(steps):
            raise InputError(
                f"{name} has {len(values)} entries and steps {len(steps)}, they must match: give "
                "one entry for each step, nan where it is not known"
            )
        return np.asarray(values, dtype=float)

    crossing_step = None
    if gamma_max is not None and rho_max_noisy is not None:
        lead = curve("rho_max_noisy", rho_max_noisy) - curve("gamma_max", gamma_max)
        # At the very start, and with mini-batches, noise can lead for a moment.
        to_the_end = np.logical_and.accumulate(((lead > 0) | np.isnan(lead))[::-1])[::-1]
        crossing_step = first((lead > 0) & to_the_end)
    return Stages(
        clean_fit_step=first(curve("acc_clean", acc_clean) == 1),
        crossing_step=crossing_step,
        memorized_step=first(curve("acc_noisy", acc_noisy) == 1),
        theory_t1=theory_t1,
    )


class StageDetector(Stateful, ABC):
    """Watch gamma and rho as they come and name one step, without any true label.

    Subclasses say in `_observe` which step is the candidate and whether the present observation
    confirms it; after ``patience`` confirmations in a row the candidate is the answer for good.
    An observation with a nan is passed over as if it had not been made.

    Args:
        patience: confirmations in a row that are needed, at least 1.

    Attributes:
        triggered_step: the step found, None until then.

    Raises:
        InputError: for a patience below 1.
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
        """Take in the signal's lead gamma_max - rho_max; return whether the candidate stands."""

    def update(self, step: int, gamma_max: float, rho_max: float) -> bool:
        """Take in the largest gamma and rho_bar over *all* samples; True once triggered."""
        # float(): numpy's own scalars would keep a checkpoint from loading with weights_only.
        lead = float(gamma_max) - float(rho_max)
        if self.triggered_step is None and not math.isnan(lead):
            self.confirmations = self.confirmations + 1 if self._observe(step, lead) else 0
            if self.confirmations >= self.patience:
                self.triggered_step = self.candidate_step
        return self.triggered_step is not None


class LeadPeakDetector(StageDetector):
    """Find the end of Stage I: where the signal's lead over the noise patches was largest.

    The lead gamma_max - rho_max grows as long as the signal is learned faster than any sample's
    noise patch is memorized, so its peak is the step from which memorization is the faster one, and
    precedes the step of `OvertakeDetector`. A peak is a lead strictly above 0 and above every
    earlier one, confirmed by ``patience`` observations in a row strictly below it.

    gamma_max is that of one class. With flips in one class alone the peak can be that of the
    cleaner class, before the other class has learned its signal.

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
        # Starting at 0 keeps the start, where both coefficients are 0, from being a peak.
        self.peak = 0.0

    def _observe(self, step: int, lead: float) -> bool:
        if lead > self.peak:
            self.peak, self.candidate_step = lead, step
        return self.candidate_step is not None and lead < self.peak


class OvertakeDetector(StageDetector):
    """Find where memorization overtakes signal learning: the first of a lasting streak.

    The streak is ``patience`` observations in a row with rho_max strictly above gamma_max.

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
