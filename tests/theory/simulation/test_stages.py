"""Milestones of all runs at once equal those of find_stages for each run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelnoise.errors import InputError
from labelnoise.theory import LeadPeakDetector, find_stages, stage_one_length
from labelnoise.theory.simulation import Setting, Trajectories, geometric_steps, simulate
from labelnoise.theory.simulation.stages import at_steps, stage_steps

CURVES = ("acc_clean", "acc_noisy", "gamma_max", "rho_max_clean", "rho_max_noisy")


def expected_steps(trajectories: Trajectories) -> list[list[float]]:
    """Run by run, with the definitions that single runs and techniques use."""
    rows = []
    for run in range(trajectories.measures["acc_clean"].shape[1]):
        curve: dict[str, Any] = {name: trajectories.measures[name][:, run] for name in CURVES}
        detector = LeadPeakDetector(patience=10**9)
        rho_max = np.fmax(curve.pop("rho_max_clean"), curve["rho_max_noisy"])
        stages = find_stages(trajectories.step, **curve)
        for step, gamma, rho in zip(trajectories.step, curve["gamma_max"], rho_max, strict=True):
            detector.update(int(step), float(gamma), float(rho))
        found = (
            stages.clean_fit_step,
            stages.crossing_step,
            stages.memorized_step,
            detector.candidate_step,
        )
        rows.append([math.nan if step is None else step for step in found])
    return rows


def found_steps(trajectories: Trajectories) -> np.ndarray:
    found = stage_steps(trajectories)
    columns = found.clean_fit_step, found.crossing_step, found.memorized_step, found.stage_one_end
    return np.stack(columns, axis=1)


def test_stages_of_runs_in_every_phase() -> None:
    settings = [
        Setting(n=10, m=3, d=60, signal_norm=norm, tau_plus=tau, tau_minus=tau, eta=0.5)
        for norm in (0.5, 4.0, 8.0)
        for tau in (0.0, 0.3)
        for _ in range(4)
    ]
    found = simulate(settings, range(len(settings)), geometric_steps(300), test_samples=0)
    expected = np.array(expected_steps(found))
    np.testing.assert_array_equal(found_steps(found), expected)
    for column in expected.T:
        assert np.isfinite(column).any()
    assert np.isnan(expected).any()


# Few values, so that curves tie, cross and touch 1 often.
@options(max_examples=30)
@given(
    hnp.arrays(np.float32, (5, 6, 4), elements=st.sampled_from([math.nan, -1.0, 0.0, 0.5, 1.0, 2]))
)
def test_stages_of_any_curves(values: np.ndarray) -> None:
    trajectories = Trajectories(np.arange(0, 60, 10), dict(zip(CURVES, values, strict=True)))
    np.testing.assert_array_equal(found_steps(trajectories), expected_steps(trajectories))


def test_a_measure_is_read_at_each_runs_own_step() -> None:
    loss = np.arange(15.0).reshape(3, 5)
    trajectories = Trajectories(np.array([2, 10, 20]), {"loss": loss})
    found = at_steps(trajectories, "loss", np.array([1.0, 2.0, 19.5, np.nan, 1e9]))
    np.testing.assert_array_equal(found, [math.nan, 1, 7, math.nan, 14])


def test_what_cannot_be_read_is_refused() -> None:
    trajectories = Trajectories(np.array([0]), {"loss": np.ones((1, 2))})
    with pytest.raises(InputError, match="no measure los: these runs have loss"):
        at_steps(trajectories, "los", np.zeros(2))
    with pytest.raises(InputError, match=r"shape \(3,\) but must have \(2,\)"):
        at_steps(trajectories, "loss", np.zeros(3))


def test_theory_t1_is_that_of_the_bounds() -> None:
    setting = Setting(n=30, m=7, d=500, eta=0.3, xi_std=0.5)
    assert setting.theory_t1 == stage_one_length(30, 7, 0.3, 0.5, 500)
