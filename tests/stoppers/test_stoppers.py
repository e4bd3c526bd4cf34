from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelnoise.errors import InputError
from labelnoise.learner.history import History
from labelnoise.report.tables.summary import dominance_lost_step, report_card
from labelnoise.stoppers import STOPPERS, LocalMinimumDetector, Stop, ThresholdDetector, shadow_stop
from tests.conftest import present


def test_a_threshold_passes_over_nan_and_stays_triggered() -> None:
    detector = ThresholdDetector(1.0, patience=2)
    values = [2.0, 0.5, math.nan, 0.9, 5.0]
    assert [detector.update(step, v) for step, v in enumerate(values)] == [0, 0, 0, 1, 1]
    assert detector.candidate_step == 1


def test_dominance_is_lost_at_the_first_of_two_observations_below_one() -> None:
    curve = [3.0, 0.9, 1.2, 0.99, 0.7, 2.0]
    history = History({10 * i: {"gradients/dominance": v} for i, v in enumerate(curve)})
    assert dominance_lost_step(history) == 30
    assert dominance_lost_step(History({0: {"gradients/dominance": 2.0}})) is None


def test_rules_that_would_have_stopped_are_told_with_what_they_know() -> None:
    history = History()
    for epoch in range(30):
        history.record(
            9 * epoch,
            {
                "test/acc": 0.9 - 0.01 * abs(epoch - 5),
                "val/loss": 1.0 + abs(epoch - 8),
                "val/acc": 0.7 - 0.001 * abs(epoch - 4),
                "gradients/dominance": 2.0 if epoch < 6 else 0.5,
            },
        )
    card: dict[str, Any] = report_card(history, steps_per_epoch=9)
    assert card["oracle_best"] == {
        "test_acc": 0.9, "step": 45, "gap": 0.0, "epoch": 5.0, "oracle": True,
    }  # fmt: skip
    assert card["last"]["epoch"] == 29 and card["last"]["gap"] == pytest.approx(24.0)
    assert card["val_selected"]["epoch"] == 8 and card["val_selected"]["gap"] == pytest.approx(3.0)
    assert card["val_acc_selected"]["epoch"] == 4
    assert card["mean_last_10"]["test_acc"] == pytest.approx(0.9 - 0.01 * (15 + 24) / 2)
    assert card["stop_val_loss"]["step"] == 72 and card["stop_val_loss"]["stopped_step"] == 162
    assert card["stop_val_acc"]["epoch"] == 4
    assert card["stop_dominance"]["epoch"] == 6
    assert card["stop_dominance"]["knows"] == "true labels"
    assert "stop_coefficients" not in card  # nothing was measured for it
    assert "epoch" not in present(report_card(history)["last"])


def test_a_step_without_test_accuracy_takes_the_one_before() -> None:
    history = History({0: {"test/acc": 0.5}, 100: {"test/acc": 0.8}, 200: {"test/acc": 0.6}})
    for step in range(0, 201, 10):
        history.record(step, {"coefficients/gamma_max": 1.0, "coefficients/rho_max": step / 130})
    assert shadow_stop(STOPPERS["coefficients"], history) == Stop(160, 140)
    assert present(report_card(history)["stop_coefficients"])["test_acc"] == 0.8


def test_no_test_accuracy_no_card() -> None:
    assert set(report_card(History()).values()) == {None}


@pytest.mark.parametrize(
    ("values", "window", "patience", "stopped", "kept"),
    [
        # m = 650, 300, 210, 240: falls to step 3, rises at step 4.
        ([900, 400, 200, 220, 260], 2, 1, 4, 3),
        # Without averaging the minimum is one observation earlier.
        ([900, 400, 200, 220, 260], 1, 1, 3, 2),
        # It only rises before it falls: the beginning is no minimum. m = 2, 4, 5, 3, 4.
        ([2, 4, 5, 3, 4], 1, 1, 4, 3),
        # It only falls, or stays: none.
        ([9, 8, 7, 6, 5], 1, 1, None, 4),
        ([9, 5, 5, 5, 5], 1, 1, None, 1),
        # A plateau is one when it is left upwards, and its first step is kept.
        ([9, 5, 5, 5, 6], 1, 1, 4, 1),
        # Left downwards it was none.
        ([9, 5, 5, 4, 6], 1, 1, 4, 3),
        # One rise is noise with patience 2; a lower average is the new candidate.
        ([9, 5, 6, 4, 5, 6], 1, 2, 5, 3),
        # Two averages above in a row, though the second is lower than the first.
        ([9, 4, 8, 5], 1, 2, 3, 1),
        # An average equal to the candidate's breaks the row.
        ([9, 4, 8, 4, 8, 8], 1, 2, 5, 1),
        # NaN is passed over. m over the others: 6, 4, 5.
        ([7, math.nan, 5, 3, math.nan, 7], 2, 1, 5, 3),
        # Fewer observations than the window: no average.
        ([5, 1, 9], 4, 1, None, None),
    ],
)
def test_the_first_local_minimum_of_a_moving_average(
    values: list[float], window: int, patience: int, stopped: int | None, kept: int | None
) -> None:
    detector = LocalMinimumDetector(window, patience)
    triggered = [detector.update(step, value) for step, value in enumerate(values)]
    first = len(values) if stopped is None else stopped
    assert triggered == [step >= first for step in range(len(values))]
    assert detector.candidate_step == kept
    detector.update(len(values), -1e9)  # once it has stopped, nothing changes its mind
    assert stopped is None or detector.candidate_step == kept


def first_local_minimum(values: list[int], window: int, patience: int) -> tuple[int, int] | None:
    """From the whole curve: (confirming step, kept step)."""
    n = len(values)
    m = {t: sum(values[t - window + 1 : t + 1]) for t in range(window - 1, n)}
    for t in range(window, n):
        if not m[t] < min(m[s] for s in m if s < t and (s >= rise(m, t))):
            continue
        row = 0
        for u in range(t + 1, n):
            if m[u] < m[t]:
                break
            row = row + 1 if m[u] > m[t] else 0
            if row == patience:
                return u, t
    return None


def rise(m: dict[int, int], t: int) -> int:
    """The position of the last average before the first fall."""
    s = min(m)
    while s + 1 < t and m[s + 1] >= m[s]:
        s += 1
    return s


@given(
    st.lists(st.integers(0, 6), max_size=20),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 20),
)
def test_it_finds_what_a_look_at_the_whole_curve_finds_also_when_resumed(
    values: list[int], window: int, patience: int, resumed_at: int
) -> None:
    detector, found = LocalMinimumDetector(window, patience), None
    for step, value in enumerate(values):
        if step == resumed_at:
            state = detector.state_dict()
            detector = LocalMinimumDetector(window, patience)
            detector.load_state_dict(state)
        if detector.update(step, value):
            found = step, detector.candidate_step
            break
    assert found == first_local_minimum(values, window, patience)


@given(st.lists(st.floats(0, 2), max_size=12), st.integers(0, 12))
def test_a_threshold_resumed_is_the_same(values: list[float], resumed_at: int) -> None:
    whole, resumed = ThresholdDetector(1.0, patience=2), ThresholdDetector(1.0, patience=2)
    for step, value in enumerate(values):
        if step == resumed_at:
            state = resumed.state_dict()
            resumed = ThresholdDetector(1.0, patience=2)
            resumed.load_state_dict(state)
        assert whole.update(step, value) == resumed.update(step, value)
        assert whole.candidate_step == resumed.candidate_step


@pytest.mark.parametrize("bad", [{"window": 0, "patience": 1}, {"window": 1, "patience": 0}])
def test_a_local_minimum_needs_numbers_of_at_least_1(bad: dict[str, int]) -> None:
    with pytest.raises(InputError, match="must be a whole number of at least 1, got 0"):
        LocalMinimumDetector(**bad)


def test_the_gap_is_followed_upwards() -> None:
    gap = [4.5, 0.5, 0.4, 0.5, 0.7, 0.6, 0.3, 0.2, 0.1]
    history = History({9 * t: {"dynamics/gmm_gap": value} for t, value in enumerate(gap)})
    # Means of three: 1.8, 0.467, 0.533, 0.6, 0.533 at steps 18 to 54.
    assert shadow_stop(STOPPERS["gmm_gap"], history) == Stop(54, 45)
