"""The steps of the milestones of many runs, and measurements at these steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelnoise.errors import InputError
from labelnoise.theory.simulation.run import Trajectories


@dataclass(frozen=True)
class StageSteps:
    """The milestones of many runs in steps, (runs,) float64 each; nan if never reached.

    Attributes:
        clean_fit_step, crossing_step, memorized_step: as in `labelnoise.theory.Stages`.
        stage_one_end: the step of the largest lead max gamma - max rho.
    """

    clean_fit_step: NDArray[np.float64]
    crossing_step: NDArray[np.float64]
    memorized_step: NDArray[np.float64]
    stage_one_end: NDArray[np.float64]


def stage_steps(trajectories: Trajectories) -> StageSteps:
    r"""Find the milestones of all runs at once.

    The first three are those of `labelnoise.theory.find_stages`. The end of Stage I is

    .. math::
        \arg\max_t\; \max_{j,r} \gamma_{j,r}(t) - \max_{j,r,i} \rho_{j,r,i}(t)

    over the logged steps: the first maximum, or nan if the lead is never above 0. It is the
    candidate of `labelnoise.theory.LeadPeakDetector` at the end of the run. It uses the whole run
    and needs no true labels.

    max gamma is over both classes. If the classes have different flip rates, the cleaner class can
    reach the maximum before the other class has learned its signal. At n = 1,000, d = 5 n and flips
    of 45 % in one class only, the test error at this step is 12.9 %.

    Args:
        trajectories: has ``acc_clean``, ``acc_noisy``, ``gamma_max``, ``rho_max_clean`` and
            ``rho_max_noisy``, (T, runs) each.

    Source: stages of arXiv 2505.18909, Stage I and Stage II.

    Example:
        >>> import numpy as np
        >>> curves = {
        ...     "acc_clean": [0.5, 1, 1],
        ...     "acc_noisy": [0.5, 0, 1],
        ...     "gamma_max": [0, 2, 3],
        ...     "rho_max_clean": [0, 1, 1],
        ...     "rho_max_noisy": [0, 1, 4],
        ... }
        >>> measures = {name: np.array(values)[:, None] for name, values in curves.items()}
        >>> found = stage_steps(Trajectories(np.array([0, 10, 20]), measures))
        >>> found.clean_fit_step, found.crossing_step, found.stage_one_end
        (array([10.]), array([20.]), array([10.]))
    """
    step = trajectories.step.astype(np.float64)

    def curve(name: str) -> NDArray[np.float64]:
        return np.asarray(trajectories.measures[name], dtype=np.float64)

    def first(reached: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.where(reached.any(0), step[reached.argmax(0)], np.nan)

    gamma = curve("gamma_max")
    rho_lead = curve("rho_max_noisy") - gamma
    to_the_end = np.logical_and.accumulate(((rho_lead > 0) | np.isnan(rho_lead))[::-1])[::-1]
    # fmax ignores nan, which a run without noisy samples has.
    lead = gamma - np.fmax(curve("rho_max_clean"), curve("rho_max_noisy"))
    lead = np.where(lead > 0, lead, 0)
    return StageSteps(
        clean_fit_step=first(curve("acc_clean") == 1),
        crossing_step=first((rho_lead > 0) & to_the_end),
        memorized_step=first(curve("acc_noisy") == 1),
        stage_one_end=np.where(lead.any(0), step[lead.argmax(0)], np.nan),
    )


def at_steps(
    trajectories: Trajectories, name: str, steps: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Read a measure of every run at the last logged step that is not after the run's own step.

    Args:
        trajectories: the measures.
        name: the name of the measure.
        steps: (runs,) a step for each run, for example from `stage_steps`. The result is nan for
            nan and for a step before the first logged step.

    Returns:
        (runs,) in the unit of the measure. Test errors are nan at steps outside ``test_steps``.

    Raises:
        InputError: an unknown name, or not one step for each run.

    Example:
        >>> import numpy as np
        >>> loss = np.array([[0.7, 0.7, 0.7], [0.2, 0.3, 0.4]])
        >>> run = Trajectories(np.array([0, 10]), {"loss": loss})
        >>> at_steps(run, "loss", np.array([9.0, 10.0, np.nan]))
        array([0.7, 0.3, nan])
    """
    if name not in trajectories.measures:
        raise InputError(
            f"no measure {name}: these runs have {', '.join(sorted(trajectories.measures))}"
        )
    values = trajectories.measures[name]
    if np.shape(steps) != values.shape[1:]:
        raise InputError(
            f"steps have shape {np.shape(steps)} but must have {values.shape[1:]}: give one step "
            "for each run, nan if there is none"
        )
    row = np.searchsorted(trajectories.step, steps, side="right") - 1
    found = values[row, np.arange(len(row))]
    return np.where((row >= 0) & ~np.isnan(steps), found, np.nan)
