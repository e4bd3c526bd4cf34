from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import Trainer

from labelnoise.classifier import NoisyLabelClassifier
from labelnoise.errors import InputError
from labelnoise.techniques import SampleSelection, sample_selection
from labelnoise.techniques.sample_selection import (
    select_gmm,
    select_keep_rate,
    select_log2,
    selection_metrics,
)
from tests.conftest import Kill, Run

losses = st.lists(st.floats(0, 50, width=32), min_size=1, max_size=40).map(torch.tensor)


@given(losses)
def test_log2_keeps_the_losses_below_log_2(loss: torch.Tensor) -> None:
    assert select_log2(loss).tolist() == [math.exp(-value) > 0.5 for value in loss.tolist()]


@settings(deadline=None)
@given(losses, st.floats(0, 1))
def test_keep_rate_keeps_that_many_of_the_smallest(loss: torch.Tensor, rate: float) -> None:
    kept = select_keep_rate(loss, rate)
    assert int(kept.sum()) == round(rate * len(loss))
    if 0 < kept.sum() < len(loss):
        assert loss[kept].max() <= loss[~kept].min()


def test_gmm_parts_two_heaps_whatever_their_sizes() -> None:
    generator = torch.Generator().manual_seed(0)
    for n_low, n_high in ((90, 10), (30, 70)):
        low = 0.1 + 0.05 * torch.rand(n_low, generator=generator)
        high = 2.0 + 0.5 * torch.rand(n_high, generator=generator)
        loss = torch.cat([low, high])
        assert select_gmm(loss, seed=0).tolist() == [True] * n_low + [False] * n_high


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 9)), min_size=1))
def test_selection_metrics_equal_a_count_by_hand(rows: list[tuple[bool, bool, int]]) -> None:
    kept, noisy, loss = (list(column) for column in zip(*rows, strict=True))
    right = sum(k and not z for k, z in zip(kept, noisy, strict=True))
    pairs = [
        (a > b) + (a == b) / 2
        for a, z in zip(loss, noisy, strict=True)
        if z
        for b, y in zip(loss, noisy, strict=True)
        if not y
    ]
    precision = right / sum(kept) if any(kept) else math.nan
    recall = right / noisy.count(False) if False in noisy else math.nan
    expected = {
        "precision": precision,
        "recall": recall,
        "f1": 2 / (1 / precision + 1 / recall) if right else 0.0,
        "auc": sum(pairs) / len(pairs) if pairs else math.nan,
    }
    metrics = selection_metrics(
        torch.tensor(kept), torch.tensor(loss, dtype=torch.float32), torch.tensor(noisy)
    )
    assert metrics == pytest.approx(expected, nan_ok=True)


class Weights:
    """Remembers the sample weights that each step trained with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: dict[int, list[float]] = {}
        original = NoisyLabelClassifier.training_step

        def remember(module: NoisyLabelClassifier, batch: Any, index: int) -> torch.Tensor:
            self.at[module.trainer.global_step] = module.sample_weight.tolist()
            return original(module, batch, index)

        monkeypatch.setattr(NoisyLabelClassifier, "training_step", remember)


def test_the_mask_holds_from_the_step_of_the_selection_on(
    run_tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = Weights(monkeypatch)
    mask = torch.tensor([True] * 15 + [False] * 5)
    monkeypatch.setattr(sample_selection, "select_log2", lambda loss: mask)
    start = "technique.sample_selection.start_step=33"
    summary = run_tiny("technique=sample_selection", start)
    assert weights.at[32] == [1.0] * 20
    assert weights.at[33] == weights.at[59] == mask.float().tolist()
    report = summary["techniques"]["sample_selection"]
    assert report["first"]["step"] == 33 and report["first"]["kept"] == 15
    assert summary["selection"] == report


def test_samples_left_out_are_memorized_no_further(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny("technique=sample_selection", "technique.sample_selection.start_step=10")
    with np.load(tmp_path / "run" / "coefficients.npz", allow_pickle=False) as arrays:
        rho = dict(zip(arrays["steps"].tolist(), arrays["rho_max"].max(1), strict=True))
    before, after = rho[10] - rho[8], rho[60] - rho[10]
    moved = before > 1e-4  # a patch on which no filter is active does not move at all
    assert moved.sum() > 15
    # Up to the rounding of float32 weights, a sample either goes on or stands still.
    assert ((after > 1e-3) | (abs(after) < 1e-6))[moved].all()
    assert 0 < (after > 1e-3).sum() < moved.sum()


def test_it_selects_again_at_the_interval(run_tiny: Run) -> None:
    options = ("start_step=10", "every_n_steps=15", "rule=keep_rate")
    summary = run_tiny(
        "technique=sample_selection", *(f"technique.sample_selection.{word}" for word in options)
    )
    report = summary["techniques"]["sample_selection"]
    assert (report["first"]["step"], report["last"]["step"]) == (10, 55)
    assert report["first"]["kept"] == report["last"]["kept"] == 16


def test_the_warm_up_ends_where_the_lead_of_signal_learning_peaks(
    run_tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = {10: 1.0, 20: 3.0, 30: 2.0, 40: 4.0, 50: 3.5, 60: 3.0}

    def script(trainer: Trainer, module: NoisyLabelClassifier) -> tuple[float, float]:
        return lead.get(trainer.global_step, 0.0), 0.0

    monkeypatch.setattr(sample_selection, "signal_and_noise", script)
    summary = run_tiny("technique=sample_selection")
    assert summary["techniques"]["sample_selection"]["first"]["step"] == 60


def test_a_selection_of_nothing_is_not_made(run_tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = Weights(monkeypatch)
    monkeypatch.setattr(sample_selection, "select_log2", lambda loss: loss < -1)
    summary = run_tiny("technique=sample_selection", "technique.sample_selection.start_step=10")
    assert summary["techniques"]["sample_selection"]["first"] is None
    assert weights.at[59] == [1.0] * 20


@pytest.mark.parametrize("step", [28, 45])
def test_a_resumed_run_selects_as_the_uninterrupted_one(
    run_tiny: Run, killed_at: Kill, step: int
) -> None:
    """Killed before and after the selection; checkpoints lie at 20 and 40."""
    options = ("technique=sample_selection", "technique.sample_selection.start_step=30")
    whole = run_tiny(*options, name="whole")
    with killed_at(step):
        run_tiny(*options)
    resumed = run_tiny(*options)
    assert resumed["final"] == whole["final"]
    assert resumed["techniques"] == whole["techniques"]


def test_early_stopping_beside_it_counts_the_samples_kept(run_tiny: Run) -> None:
    """Alone it stops early; with most noisy samples left out, the rest overtake much later."""
    options = ("data.n=60", "data.d=300", "model.filters=8", "max_steps=400")
    alone = run_tiny("technique=early_stop", *options, name="alone")
    both = run_tiny("technique=[early_stop,sample_selection]", *options, name="both")
    early, late = (run["techniques"]["early_stop"]["stopped_step"] for run in (alone, both))
    assert both["selection"]["first"]["step"] < early < late


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "best"}, "one of log2, keep_rate, gmm, got 'best'"),
        ({"rule": "keep_rate"}, "needs noise_rate"),
        ({"rule": "keep_rate", "noise_rate": 1.0}, "needs noise_rate"),
        ({"start_step": 0}, "start_step must be at least 1, got 0"),
        ({"warmup_epochs": 0}, "warmup_epochs must be at least 1, got 0"),
        ({"every_n_steps": 0}, "every_n_steps must be at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SampleSelection(**options)
