from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelnoise.learner.history import History
from labelnoise.report.tables.summary import report_card, stages, write_summary
from labelnoise.report.tables.suspects import rows_before_memorization
from labelnoise.run_directory import RunDirectory


def scripted(test: dict[int, float], val: dict[int, float] | None = None) -> History:
    history = History()
    for step, acc in test.items():
        history.record(step, {"test/acc": acc})
    for step, loss in (val or {}).items():
        history.record(step, {"val/loss": loss})
    return history


def test_the_report_card_says_which_step_a_number_comes_from() -> None:
    card = report_card(
        scripted({0: 0.5, 10: 0.9, 20: 0.8, 30: 0.7}, {10: 0.6, 20: 0.4, 25: 0.1, 30: 0.5})
    )
    assert card["oracle_best"] == {"test_acc": 0.9, "step": 10, "gap": 0.0, "oracle": True}
    assert card["last"] == {"test_acc": 0.7, "step": 30, "gap": 20.0}
    # Step 25 has the lowest loss but no test accuracy was measured there.
    assert card["val_loss_selected"] == {"test_acc": 0.8, "step": 20, "gap": 10.0}
    assert card["val_selected"] == {"test_acc": 0.8, "step": 20, "gap": 10.0, "by": "val/loss"}
    assert card["mean_last_10"] == {
        "test_acc": pytest.approx(0.725), "from_step": 0, "evaluations": 4, "gap": 17.5,
    }  # fmt: skip


def test_validation_chooses_by_accuracy_where_the_loss_says_nothing() -> None:
    history = scripted({10: 0.6, 20: 0.8, 30: 0.7}, {10: 0.1, 20: 0.2, 30: 0.3})
    for step, acc in ((10, 0.4), (20, 0.5), (30, 0.45)):
        history.record(step, {"val/acc": acc})
    card: dict[str, Any] = report_card(history, selected_by="val/acc")
    assert (card["val_selected"]["step"], card["val_selected"]["by"]) == (20, "val/acc")
    assert (card["val_loss_selected"]["step"], card["val_acc_selected"]["step"]) == (10, 20)
    steps = np.array([0, 10, 15, 20, 25, 30])
    assert rows_before_memorization(history, steps, "val/acc") == 4
    assert rows_before_memorization(history, steps) == 3  # at least


def test_the_mean_is_over_the_last_ten_evaluations() -> None:
    card = report_card(scripted({step: step / 100 for step in range(0, 50, 2)}))
    expected = sum(range(30, 50, 2)) / 1000
    assert card["mean_last_10"] == {
        "test_acc": pytest.approx(expected), "from_step": 30, "evaluations": 10,
        "gap": pytest.approx(100 * (0.48 - expected)),
    }  # fmt: skip
    assert card["val_selected"] is None


def test_a_run_that_was_not_tested_has_an_empty_card() -> None:
    assert set(report_card(History()).values()) == {None}


def test_stages_are_read_off_curves_measured_at_different_steps() -> None:
    history = History()
    for step, clean, noisy, gamma, rho in (
        (0, 0.5, 0.5, 0.0, 0.0),
        (10, 1.0, 0.0, 1.0, 0.5),
        (20, 1.0, 0.5, 1.5, 1.6),
        (30, 1.0, 1.0, 1.8, 2.5),
    ):
        history.record(step, {"train/acc_clean": clean, "train/acc_noisy": noisy})
        history.record(step, {"coefficients/gamma_max": gamma, "coefficients/rho_max_noisy": rho})
    history.record(15, {"test/acc": 0.9})
    assert stages(history, 12.5) == {
        "clean_fit_step": 10, "crossing_step": 20, "memorized_step": 30, "theory_t1": 12.5,
    }  # fmt: skip
    assert set(stages(History(), None).values()) == {None}


def test_nan_is_written_as_null_and_the_file_whole(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    write_summary(run, {"a": math.nan, "b": [1.0, math.inf], "c": {"d": 2}})
    assert json.loads((tmp_path / "summary.json").read_text()) == {
        "a": None, "b": [1.0, None], "c": {"d": 2},
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.json", "summary.json"}
    run.manifest.check(run.summary)
