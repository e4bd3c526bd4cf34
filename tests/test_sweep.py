"""Sweeps through the command, in processes of their own."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from labelnoise.report.sweep import by_setting, mean_and_range, over_seeds
from tests.conftest import TINY

ROOT = Path(__file__).resolve().parents[1]


def run_py(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "run.py", *words, *TINY],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def rows(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_sweep_survives_a_job_that_fails_and_can_be_run_again(tmp_path: Path) -> None:
    sweep = ("-m", "noise_rate=0.1,0.7,0.2", f"output_dir={tmp_path}", "name=sweep")
    done = run_py(*sweep)
    assert done.returncode == 1
    assert "error: noise rate 0.7 is not below 1/2" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Error executing job with overrides: ['noise_rate=0.7'" in done.stderr
    assert "mean [min, max] over seeds" in done.stdout
    assert [row["noise_rate"] for row in rows(tmp_path / "sweep")] == ["0.1", "0.2"]
    assert not (tmp_path / "sweep" / "1").exists()

    before = (tmp_path / "sweep" / "0" / "metrics.csv").stat().st_mtime_ns
    again = run_py("-m", "noise_rate=0.1,0.3,0.2", f"output_dir={tmp_path}", "name=sweep")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "sweep" / "0" / "metrics.csv").stat().st_mtime_ns == before
    assert [row["noise_rate"] for row in rows(tmp_path / "sweep")] == ["0.1", "0.3", "0.2"]


@pytest.mark.slow
def test_techniques_and_seeds_sweep(tmp_path: Path) -> None:
    words = ("-m", "seed=0,1", "technique=none,early_stop,[early_stop,sample_selection]")
    done = run_py(*words, f"output_dir={tmp_path}", "name=sweep")
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "sweep")) == 6
    assert "early_stop" in done.stdout and "technique" in done.stdout


@pytest.mark.slow
def test_the_two_stages_experiment_draws_the_papers_figure(tmp_path: Path) -> None:
    done = run_py("experiment=two_stages", f"output_dir={tmp_path}", "name=figure")
    assert done.returncode == 0, done.stderr
    assert [row["noise_rate"] for row in rows(tmp_path / "figure")] == ["0.2", "0.0"]
    assert (tmp_path / "figure" / "figures" / "two_stages.png").stat().st_size > 20_000


def summary(error: float, *overrides: str) -> dict:
    return {"overrides": list(overrides), "final": {"test/acc": 1 - error}, "step": 10}


def test_runs_are_put_together_over_seeds() -> None:
    table = over_seeds(
        [
            summary(0.1, "noise_rate=0.2", "seed=0", "data.n=9"),
            summary(0.3, "noise_rate=0.2", "seed=1", "data.n=9"),
            summary(0.5, "noise_rate=0.4", "seed=0", "data.n=9"),
        ]
    )
    assert table == {
        "noise_rate=0.2": {"runs": "2", "last step": "10", "test error": "0.2 [0.1, 0.3]"},
        "noise_rate=0.4": {"runs": "1", "last step": "10", "test error": "0.5"},
    }


def test_mean_and_range_leave_out_what_is_missing() -> None:
    assert mean_and_range([None, 2.0, 4.0]) == "3 [2, 4]"
    assert mean_and_range([2.0, 2.0]) == "2"
    assert mean_and_range([]) == ""


def test_the_order_in_which_words_were_typed_makes_no_other_setting() -> None:
    typed = (["a=1", "b=2", "seed=0"], ["b=2", "seed=1", "a=1"], ["a=2", "b=2", "seed=0"])
    groups = by_setting([{"overrides": words} for words in typed], lambda summary: summary)
    assert {name: len(members) for name, members in groups.items()} == {"a=1": 2, "a=2": 1}
