"""The quantities of a diagram, measured on each run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelnoise.theory.simulation import Setting, Trajectories
from labelnoise.theory.simulation.stages import StageSteps, at_steps, stage_steps

Array = NDArray[np.float64]


class Outcome(NamedTuple):
    """A batch of runs and the steps of their stages."""

    trajectories: Trajectories
    settings: Sequence[Setting]
    stages: StageSteps

    def last(self, measure: str) -> Array:
        """(runs,) values at the last step."""
        return np.asarray(self.trajectories.measures[measure][-1], dtype=float)

    def at(self, measure: str, steps: Array) -> Array:
        """(runs,) values at each run's own step; nan if the step is nan."""
        return np.asarray(at_steps(self.trajectories, measure, steps), dtype=float)


class Quantity(NamedTuple):
    """A number of a run.

    Attributes:
        label: the label of the colour bar.
        value: maps an outcome to (runs,) values; nan if a run has no such number.
        tested: the logged steps at which it needs test errors: "none", "end" or "all".
        span: the range of the colours; None for the range of the values.
        log: whether the colour scale is logarithmic.
        signed: whether the colour scale diverges at 0.
    """

    label: str
    value: Callable[[Outcome], Array]
    tested: str = "none"
    span: tuple[float, float] | None = None
    log: bool = False
    signed: bool = False


SHARE = (0.0, 1.0)
ERROR = (0.0, 0.5)
TESTED = ("none", "end", "all")

QUANTITIES: dict[str, Quantity] = {
    "test_error": Quantity("test error at the end", lambda o: o.last("test_error"), "end", ERROR),
    "test_error_noisy": Quantity(
        "test error at the end, noisy labels", lambda o: o.last("test_error_noisy"), "end", ERROR
    ),
    "early_stop_test_error": Quantity(
        "test error where memorization overtakes signal learning",
        lambda o: o.at("test_error", _or_end(o, o.stages.crossing_step)),
        "all",
        ERROR,
    ),
    "t1_test_error": Quantity(
        "test error at the end of Stage I",
        lambda o: o.at("test_error", o.stages.stage_one_end),
        "all",
        ERROR,
    ),
    "best_test_error": Quantity(
        "lowest test error of all steps",
        lambda o: np.asarray(o.trajectories.measures["test_error"].min(0), dtype=float),
        "all",
        ERROR,
    ),
    "degradation": Quantity(
        "test error at the end - at the end of Stage I",
        lambda o: o.last("test_error") - o.at("test_error", o.stages.stage_one_end),
        "all",
        signed=True,
    ),
    "early_stop_gain": Quantity(
        "test error: end - where memorization overtakes signal learning",
        lambda o: o.last("test_error") - o.at("test_error", _or_end(o, o.stages.crossing_step)),
        "all",
        signed=True,
    ),
    "clean_fit_step": Quantity(
        "step at which all clean samples are fitted", lambda o: o.stages.clean_fit_step, log=True
    ),
    "stage_one_end": Quantity(
        r"step at which max $\gamma$ - max $\bar\rho$ peaks",
        lambda o: _passed(o, o.stages.stage_one_end),
        log=True,
    ),
    "crossing_step": Quantity(
        "step from which memorization leads signal learning",
        lambda o: o.stages.crossing_step,
        log=True,
    ),
    "memorized_step": Quantity(
        "step at which all wrong labels are memorized", lambda o: o.stages.memorized_step, log=True
    ),
    "stage_two_length": Quantity(
        "steps from Stage I's end to the last wrong label",
        lambda o: o.stages.memorized_step - _passed(o, o.stages.stage_one_end),
        log=True,
    ),
    "memorized_fraction": Quantity(
        "wrong labels fitted at the end", lambda o: o.last("acc_noisy"), span=SHARE
    ),
    "selection_precision": Quantity(
        "precision of loss < log 2 at the end of Stage I",
        lambda o: o.at("selection_precision", o.stages.stage_one_end),
        span=SHARE,
    ),
    "selection_recall": Quantity(
        "recall of loss < log 2 at the end of Stage I",
        lambda o: o.at("selection_recall", o.stages.stage_one_end),
        span=SHARE,
    ),
    "gamma_max": Quantity(r"max $\gamma$ at the end", lambda o: o.last("gamma_max"), log=True),
    "rho_max_noisy": Quantity(
        r"max $\bar\rho$ of noisy samples at the end", lambda o: o.last("rho_max_noisy"), log=True
    ),
}


def _or_end(outcome: Outcome, steps: Array) -> Array:
    """``steps``, with nan replaced by the last step."""
    return np.where(np.isnan(steps), float(outcome.trajectories.step[-1]), steps)


def _passed(outcome: Outcome, steps: Array) -> Array:
    """``steps``, with the last step replaced by nan: there the peak has not been reached yet."""
    return np.where(steps == outcome.trajectories.step[-1], np.nan, steps)


def measured(tested: str) -> list[str]:
    """The quantities that are known with test errors at "none", "end" or "all" logged steps."""
    return [n for n, q in QUANTITIES.items() if TESTED.index(q.tested) <= TESTED.index(tested)]


def read_off(
    trajectories: Trajectories, settings: Sequence[Setting], tested: str
) -> dict[str, NDArray[Any]]:
    """Every known quantity, (runs,) each."""
    outcome = Outcome(trajectories, settings, stage_steps(trajectories))
    return {name: QUANTITIES[name].value(outcome) for name in measured(tested)}
