"""Results of the default experiment on five seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelnoise.config.composition import compose
from labelnoise.report.loaded import LoadedRun, load_run
from labelnoise.training.train import train

SEEDS = range(5)


def runs(folder: Path, *overrides: str) -> list[LoadedRun]:
    loaded = []
    for seed in SEEDS:
        quiet = ("trainer.enable_progress_bar=false", "logger=none", f"seed={seed}")
        train(compose([*quiet, *overrides]), folder / str(seed))
        loaded.append(load_run(folder / str(seed)))
    return loaded


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[LoadedRun]:
    return runs(tmp_path_factory.mktemp("plain"))


def error(run: LoadedRun) -> float:
    return 1 - run.summary["final"]["test/acc"]


def at_the_crossing(run: LoadedRun) -> float:
    """The test error at the first evaluation at or after the crossing."""
    steps, acc = run.history.series("test/acc")
    return 1 - acc[steps >= run.summary["stages"]["crossing_step"]][0]


@pytest.mark.slow
def test_plain_training_goes_through_both_stages(plain: list[LoadedRun]) -> None:
    for run in plain:
        stages: dict[str, Any] = run.summary["stages"]
        assert stages["clean_fit_step"] <= 60
        assert run.history.at("train/acc_noisy", stages["clean_fit_step"]) <= 0.35
        assert 60 <= stages["crossing_step"] <= 400
        assert at_the_crossing(run) <= 0.01
        assert stages["memorized_step"] <= 1200
        assert error(run) > at_the_crossing(run)
    assert np.mean([error(run) for run in plain]) >= 0.008


@pytest.mark.slow
def test_early_stopping_stops_between_the_stages(plain: list[LoadedRun], tmp_path: Path) -> None:
    for run, whole in zip(runs(tmp_path, "technique=early_stop"), plain, strict=True):
        step = run.summary["techniques"]["early_stop"]["selected_step"]
        stages = whole.summary["stages"]
        assert stages["clean_fit_step"] < step < stages["memorized_step"]
        assert run.summary["step"] < stages["memorized_step"]
        assert run.summary["final"]["train/acc_noisy"] <= 0.6
        assert error(run) <= 0.01


@pytest.mark.slow
def test_selection_finds_the_clean_samples(plain: list[LoadedRun], tmp_path: Path) -> None:
    selected = runs(tmp_path, "technique=sample_selection")
    first = [run.summary["selection"]["first"] for run in selected]
    assert np.mean([selection["precision"] for selection in first]) >= 0.97
    assert np.mean([selection["recall"] for selection in first]) >= 0.99
    for run, whole in zip(selected, plain, strict=True):
        assert error(run) < error(whole)


@pytest.mark.slow
def test_without_label_noise_there_is_no_second_stage(tmp_path: Path) -> None:
    for run in runs(tmp_path, "noise_rate=0"):
        gamma = run.history.series("coefficients/gamma_max")[1]
        rho = run.history.series("coefficients/rho_max_clean")[1]
        assert (rho[1:] < gamma[1:]).all()
        assert run.summary["stages"]["crossing_step"] is None
        errors = 1 - run.history.series("test/acc")[1]
        assert errors[-1] <= errors.min() + 0.0005  # two of 4,000 samples
