from __future__ import annotations

import math

import pytest

from labelnoise.history import History
from labelnoise.report.summary import dominance_lost_step, report_card
from labelnoise.stoppers import STOPPERS, Stop, ThresholdDetector, shadow_stop


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
    card = report_card(history, steps_per_epoch=9)
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
    assert "epoch" not in report_card(history)["last"]


def test_a_step_without_test_accuracy_takes_the_one_before() -> None:
    history = History({0: {"test/acc": 0.5}, 100: {"test/acc": 0.8}, 200: {"test/acc": 0.6}})
    for step in range(0, 201, 10):
        history.record(step, {"coefficients/gamma_max": 1.0, "coefficients/rho_max": step / 130})
    assert shadow_stop(STOPPERS["coefficients"], history) == Stop(160, 140)
    assert report_card(history)["stop_coefficients"]["test_acc"] == 0.8


def test_no_test_accuracy_no_card() -> None:
    assert set(report_card(History()).values()) == {None}
