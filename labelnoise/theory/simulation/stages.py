"""When every run of a batch passes the theory's milestones, and what was measured there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelnoise.errors import InputError
from labelnoise.theory.simulation.run import Trajectories


@dataclass(frozen=True)
class StageSteps:
    """The milestones of many runs in steps, (runs,) float64 each; nan where never reached.

    Attributes:
        clean_fit_step: first logged step with every clean sample fitted.
        crossing_step: first from which max rho_bar over noisy samples stays above max gamma.
        memorized_step: first with every noisy sample predicted as its wrong label.
        stage_one_end: where the signal's lead over all noise patches was largest.
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

    over the logged steps, the first where several are equal and nan where the lead is never above
    0: the candidate of `labelnoise.theory.LeadPeakDetector` at the end of the run. It looks back on
    the whole run, needs no true label, and is the last logged step where the lead still grew.

    The largest gamma is that of one class. Where the classes have different rates, the cleaner
    class can reach the maximum while the other one has learned little: at n = 1,000, d = 5 n and
    flips of 45 % in one class alone, the test error at this step is 12.9 %.

    Args:
        trajectories: with ``acc_clean``, ``acc_noisy``, ``gamma_max``, ``rho_max_clean`` and
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
    behind = curve("rho_max_noisy") - gamma
    to_the_end = np.logical_and.accumulate(((behind > 0) | np.isnan(behind))[::-1])[::-1]
    # fmax: a run without noisy samples has a largest rho all the same.
    lead = gamma - np.fmax(curve("rho_max_clean"), curve("rho_max_noisy"))
    lead = np.where(lead > 0, lead, 0)
    return StageSteps(
        clean_fit_step=first(curve("acc_clean") == 1),
        crossing_step=first((behind > 0) & to_the_end),
        memorized_step=first(curve("acc_noisy") == 1),
        stage_one_end=np.where(lead.any(0), step[lead.argmax(0)], np.nan),
    )


def at_steps(
    trajectories: Trajectories, name: str, steps: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Read one measure of every run at a step of its own: the last logged one not after it.

    Args:
        trajectories: of which ``name`` is read.
        name: of a measure.
        steps: (runs,) one for each run, such as those of `stage_steps`; nan gives nan, as does one
            before the first logged step.

    Returns:
        (runs,) in the measure's unit; nan too where the measure was not taken, as test errors at
        steps other than ``test_steps``.

    Raises:
        InputError: for an unknown name, or not as many steps as runs.

    Example:
        >>> import numpy as np
        >>> loss = np.array([[0.7, 0.7, 0.7], [0.2, 0.3, 0.4]])
        >>> run = Trajectories(np.array([0, 10]), {"loss": loss})
        >>> at_steps(run, "loss", np.array([9.0, 10.0, np.nan]))
        array([0.7, 0.3, nan])
    """
    if name not in trajectories.measures:
        raise InputError(
            f"no measure {name}: those of these runs are {', '.join(sorted(trajectories.measures))}"
        )
    values = trajectories.measures[name]
    if np.shape(steps) != values.shape[1:]:
        raise InputError(
            f"steps have shape {np.shape(steps)}, they must be {values.shape[1:]}: give one step "
            "for each run, nan where there is none"
        )
    row = np.searchsorted(trajectories.step, steps, side="right") - 1
    found = values[row, np.arange(len(row))]
    return np.where((row >= 0) & ~np.isnan(steps), found, np.nan)
