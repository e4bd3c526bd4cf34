"""ELR and TCR followed step by step with loops over the samples of every batch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from labelnoise.errors import InputError
from labelnoise.report.loaded import load_run
from labelnoise.techniques import ELR, TCR
from labelnoise.techniques.elr import elr_target
from labelnoise.techniques.tcr import tcr_target
from tests.conftest import Finished, Run
from tests.techniques.conftest import Step

# Batches of 6, 6, 6 and 2 of 20 samples; the last checkpoint is of step 40.
BATCHES = ("batch_size=6", "optimizer.lr=0.5")


def softmax(z: list[float]) -> list[float]:
    total = sum(math.exp(value - max(z)) for value in z)
    return [math.exp(value - max(z)) / total for value in z]


def kept_targets(run: Path, name: str) -> list[list[float]]:
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    (state,) = (state for key, state in checkpoint["callbacks"].items() if key == name)
    return state["target"].tolist()


def test_elr_holds_the_average_of_each_sample_and_takes_its_loss_there(
    run_tiny: Run, tmp_path: Path, steps: list[Step]
) -> None:
    run_tiny("technique=elr", "technique.elr.beta=0.8", "technique.elr.strength=2", *BATCHES)
    target: dict[int, list[float]] = {i: [0.0, 0.0] for i in range(20)}
    assert len(steps) == 60
    for step in steps:
        if step.number == 40:
            kept = kept_targets(tmp_path / "run", "ELR")
            for i, row in target.items():
                assert kept[i] == pytest.approx(row, abs=1e-6)
        total = 0.0
        rows = zip(
            step.batch.index.tolist(), step.batch.label.tolist(), step.logits.tolist(), strict=True
        )
        for i, y, z in rows:
            p = [min(max(value, 1e-4), 1 - 1e-4) for value in softmax(z)]
            target[i] = [
                0.8 * t + 0.2 * value / sum(p) for t, value in zip(target[i], p, strict=True)
            ]
            agreement = sum(t * value for t, value in zip(target[i], p, strict=True))
            total += -math.log(softmax(z)[y]) + 2 * math.log(1 - agreement)
        assert step.loss == pytest.approx(total / len(step.batch.index), abs=1e-5)
    assert steps[-1].number == 59


def test_tcr_mixes_in_what_was_predicted_the_epoch_before_sharper_once_the_rate_drops(
    run_tiny: Run, tmp_path: Path, steps: list[Step]
) -> None:
    drop = ("scheduler=multi_step", "scheduler.milestones=[30]", "scheduler.interval=step")
    options = ("technique.tcr.beta=0.3", "technique.tcr.sharpening=1.5", *BATCHES, *drop)
    summary = run_tiny("technique=tcr", *options)
    assert summary["techniques"]["tcr"] == {"sharpened_from_step": 30}
    prediction: dict[int, list[float]] = {}
    for step in steps:
        if step.number == 40:
            kept = kept_targets(tmp_path / "run", "TCR")
            for i, row in prediction.items():
                assert kept[i] == pytest.approx(row, abs=1e-6)
        total = 0.0
        rows = zip(
            step.batch.index.tolist(), step.batch.label.tolist(), step.logits.tolist(), strict=True
        )
        for i, y, z in rows:
            own = [float(k == y) for k in range(2)]
            power = 1.5 if step.number >= 30 else 1.0
            raised = [value**power for value in prediction.get(i, own)]
            for k in range(2):
                t = 0.3 * own[k] + 0.7 * raised[k] / sum(raised)
                total -= t * math.log(softmax(z)[k])
            prediction[i] = softmax(z)
        assert step.loss == pytest.approx(total / len(step.batch.index), abs=1e-5)
    assert len(prediction) == 20


def test_elr_of_strength_0_trains_as_cross_entropy(run_tiny: Run, finished_tiny: Finished) -> None:
    elr = run_tiny("technique=elr", "technique.elr.strength=0", *BATCHES)
    assert elr["final"] == load_run(finished_tiny(*BATCHES)).summary["final"]


def test_tcr_of_beta_1_trains_as_cross_entropy(run_tiny: Run, finished_tiny: Finished) -> None:
    tcr = run_tiny("technique=tcr", "technique.tcr.beta=1", *BATCHES)
    plain = load_run(finished_tiny(*BATCHES)).summary
    assert tcr["final"] == pytest.approx(plain["final"], abs=1e-5)


def test_targets_stay_distributions_however_sure_the_network_is() -> None:
    logits = torch.tensor([[80.0, -80.0, 0.0], [0.0, 0.0, 0.0]])
    target = elr_target(torch.zeros(2, 3), logits, 0.0)
    torch.testing.assert_close(target.sum(1), torch.ones(2))
    assert target.min() > 9e-5  # the clamp
    sharp = tcr_target(torch.tensor([1, 1]), logits.softmax(1), 0.25, 1.1)
    torch.testing.assert_close(sharp.sum(1), torch.ones(2))
    assert sharp[0].tolist() == pytest.approx([0.75, 0.25, 0.0])


@pytest.mark.parametrize(
    ("technique", "options", "message"),
    [
        (ELR, {"beta": 1.0}, "technique.elr.beta must be a number from 0 to below 1, got 1.0"),
        (ELR, {"beta": -0.1}, "technique.elr.beta must be a number from 0 to below 1, got -0.1"),
        (ELR, {"strength": -1.0}, "technique.elr.strength must be a number of at least 0, got -1"),
        (TCR, {"beta": 1.5}, "technique.tcr.beta must be a number from 0 to 1, got 1.5"),
        (
            TCR,
            {"sharpening": 0.5},
            "technique.tcr.sharpening must be a number of at least 1, got 0.5",
        ),
    ],
)
def test_bad_options_are_refused(technique: Any, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        technique(**options)
