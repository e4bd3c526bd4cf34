from __future__ import annotations

import json
import math
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelnoise.errors import InputError
from labelnoise.theory.stages import (
    LeadPeakDetector,
    OvertakeDetector,
    StageDetector,
    Stages,
    find_stages,
)

NAN = math.nan


def feed(detector: StageDetector, observations: Iterable[tuple[int, float, float]]) -> list[bool]:
    return [detector.update(step, gamma, rho) for step, gamma, rho in observations]


def test_find_stages_names_the_first_logged_step_of_each() -> None:
    stages = find_stages(
        [0, 10, 20, 30, 40],
        acc_clean=[0.5, 0.99, 1.0, 0.9, 1.0],
        acc_noisy=[0.5, 0.0, 0.1, 0.8, 1.0],
        gamma_max=[0.0, 1.0, 2.0, 2.5, 3.0],
        rho_max_noisy=[0.0, 0.5, 2.0, 2.6, 4.0],
        theory_t1=100.0,
    )
    assert stages == Stages(20, 30, 40, 100.0)


def test_what_never_happens_or_is_unknown_is_none() -> None:
    steps = [0, 10]
    assert find_stages(steps, acc_clean=[0.5, 0.9], acc_noisy=[0.5, 0.9]) == Stages(*[None] * 4)
    assert find_stages([], acc_clean=[], acc_noisy=[]) == Stages(*[None] * 4)
    only_gamma = find_stages(steps, acc_clean=[1, 1], acc_noisy=[0, 0], gamma_max=[0, 0])
    assert only_gamma.crossing_step is None


@pytest.mark.parametrize("absent", [NAN, None])
def test_runs_without_noisy_samples_reach_no_noisy_milestone(absent: float | None) -> None:
    stages = find_stages(
        np.array([0, 10]),
        acc_clean=[0.5, 1.0],
        acc_noisy=[absent, absent],
        gamma_max=[0.0, 1.0],
        rho_max_noisy=[absent, absent],
    )
    assert stages == Stages(10, None, None, None)
    assert type(stages.clean_fit_step) is int


def test_a_gap_in_a_curve_is_passed_over() -> None:
    stages = find_stages([0, 1, 2], acc_clean=[NAN, NAN, 1.0], acc_noisy=[0.0, NAN, 1.0])
    assert (stages.clean_fit_step, stages.memorized_step) == (2, 2)


def test_curves_that_do_not_fit_the_steps_are_refused() -> None:
    with pytest.raises(InputError, match="acc_noisy has 1 entries but there are 2 steps"):
        find_stages([0, 1], acc_clean=[0, 0], acc_noisy=[0])
    with pytest.raises(InputError, match="must not decrease"):
        find_stages([1, 0], acc_clean=[0, 0], acc_noisy=[0, 0])


# The lead, gamma_max - rho_max, at each observation; gamma is 10 throughout.
LEADS_AND_PEAKS = [
    ([0, 1, 2, 1, 1, 1], 3, 2, 5),
    ([0, 1, 2, 1, 1], 3, None, None),
    ([0, 2, 1, 1, 3, 1, 1, 1], 3, 4, 7),  # a higher peak starts the count again
    ([0, 2, 1, 2, 1, 1, 1], 3, 1, 6),  # touching the peak does too, the peak stays the first
    ([0, 2, 1], 1, 1, 2),
    ([0, 2, NAN, 1, NAN, 1], 2, 1, 5),  # nan neither confirms nor breaks
    ([0, 0, 0, 0], 1, None, None),
    ([0, -1, -2, -3], 1, None, None),  # never in the lead: no stage to end
    ([-3, -2, -1, -2, -3], 1, None, None),  # a peak, but below 0
    ([0, 1, 1, 1, 1], 1, None, None),  # a plateau is not below the peak
    ([NAN, NAN], 1, None, None),
]


@pytest.mark.parametrize(("leads", "patience", "peak_at", "known_at"), LEADS_AND_PEAKS)
def test_lead_peak(
    leads: list[float], patience: int, peak_at: int | None, known_at: int | None
) -> None:
    detector = LeadPeakDetector(patience)
    fired = feed(detector, [(7 * t, 10.0, 10.0 - lead) for t, lead in enumerate(leads)])
    assert fired == [known_at is not None and t >= known_at for t in range(len(leads))]
    assert detector.triggered_step == (None if peak_at is None else 7 * peak_at)


LEADS_AND_OVERTAKINGS = [
    ([0, 1, -1, -1, -2], 3, 2, 4),
    ([0, 1, -1, -1], 3, None, None),
    ([0, -1, 1, -1, -1], 2, 3, 4),  # the streak that lasts, not the first crossing
    ([0, -1, 0, -1, -1], 2, 3, 4),  # level is not ahead
    ([0, -1, NAN, -1], 2, 1, 3),
    ([0, 0, 0], 1, None, None),
    ([1, -1], 1, 1, 1),
]


@pytest.mark.parametrize(("leads", "patience", "first_at", "known_at"), LEADS_AND_OVERTAKINGS)
def test_overtake(
    leads: list[float], patience: int, first_at: int | None, known_at: int | None
) -> None:
    detector = OvertakeDetector(patience)
    fired = feed(detector, [(7 * t, 10.0, 10.0 - lead) for t, lead in enumerate(leads)])
    assert fired == [known_at is not None and t >= known_at for t in range(len(leads))]
    assert detector.triggered_step == (None if first_at is None else 7 * first_at)


@pytest.mark.parametrize("kind", [LeadPeakDetector, OvertakeDetector])
def test_the_step_found_is_kept(kind: type[StageDetector]) -> None:
    detector = kind(patience=1)
    feed(detector, [(0, 0.0, 0.0), (1, 3.0, 1.0), (2, 3.0, 4.0)])
    found = detector.triggered_step
    assert found is not None
    assert all(feed(detector, [(3, 99.0, 0.0), (4, 0.0, 99.0), (5, NAN, NAN)]))
    assert detector.triggered_step == found


@settings(max_examples=60)
@given(
    leads=st.lists(st.sampled_from([NAN, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]), max_size=20),
    patience=st.integers(1, 3),
    kind=st.sampled_from([LeadPeakDetector, OvertakeDetector]),
    data=st.data(),
)
def test_a_resumed_detector_goes_on_as_if_never_stopped(
    leads: list[float], patience: int, kind: type[StageDetector], data: st.DataObject
) -> None:
    # numpy's scalars come in, as logged values are; only plain ones may go out.
    observations = [
        (step, np.float64(10), np.float64(10 - lead)) for step, lead in enumerate(leads)
    ]
    cut = data.draw(st.integers(0, len(leads)))
    whole, before, after = kind(patience), kind(patience), kind(patience)
    expected = feed(whole, observations)
    fired = feed(before, observations[:cut])
    state = before.state_dict()
    assert {type(value) for value in state.values()} <= {int, float, type(None)}
    after.load_state_dict(json.loads(json.dumps(state)))
    fired += feed(after, observations[cut:])
    assert fired == expected
    assert after.triggered_step == whole.triggered_step
    assert after.state_dict() == whole.state_dict()


@pytest.mark.parametrize("kind", [LeadPeakDetector, OvertakeDetector])
def test_patience_below_one_is_refused(kind: type[StageDetector]) -> None:
    with pytest.raises(InputError, match="patience must be a whole number of at least 1, got 0"):
        kind(0)
