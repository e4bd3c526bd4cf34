"""Losses with a state on two processes against one process with twice the batch size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import Run

DDP = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
# A last batch of one sample: rank 1 has none of it. Ends and saves at steps 20 and 40.
STEPS = ("data.n=19", "max_steps=41", "optimizer.lr=0.5")

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["elr", "tcr"])
def test_two_processes_hold_the_targets_of_all_samples(
    run_tiny: Run, tmp_path: Path, name: str
) -> None:
    alone = run_tiny(f"technique={name}", *STEPS, "batch_size=6", name="one")
    both = run_tiny(f"technique={name}", *STEPS, "batch_size=3", *DDP, name="two")
    one, two = (
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)
        for run in ("one", "two")
    )
    targets = [checkpoint["callbacks"][name.upper()]["target"] for checkpoint in (one, two)]
    assert targets[0].abs().sum(1).min() > 0.1
    torch.testing.assert_close(*targets, atol=1e-5, rtol=0)
    torch.testing.assert_close(one["state_dict"], two["state_dict"], atol=1e-5, rtol=0)
    for key, value in alone["final"].items():
        assert both["final"][key] == pytest.approx(value, abs=1e-5), key


def test_two_processes_correct_by_one_estimate(run_tiny: Run) -> None:
    options = ("technique=forward_correction", *STEPS)
    alone = run_tiny(*options, "batch_size=6", name="one")
    both = run_tiny(*options, "batch_size=3", *DDP, name="two")
    ours, theirs = (run["techniques"]["forward_correction"] for run in (both, alone))
    assert ours["estimated_step"] == theirs["estimated_step"] == 20
    for row, other in zip(ours["matrix"], theirs["matrix"], strict=True):
        assert row == pytest.approx(other, abs=1e-4)


def test_mixup_trains_one_network_on_two_processes(run_tiny: Run) -> None:
    watch = "+technique.watch._target_=tests.parts.Watch"
    summary = run_tiny("technique=mixup", watch, *STEPS, "batch_size=3", *DDP)
    assert summary["techniques"]["watch"]["spread"] == [0.0] * 41
