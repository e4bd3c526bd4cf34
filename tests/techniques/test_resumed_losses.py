"""Every loss, and what mixes batches, goes on after a kill as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from labelnoise.config import CONF_DIR, compose
from labelnoise.history import History
from labelnoise.training import build_techniques
from tests.conftest import Kill, Run

NAMES = sorted(path.stem for path in (CONF_DIR / "technique").glob("*.yaml") if path.stem != "none")
TAKEN_UP = [
    name
    for name in NAMES
    if build_techniques(compose([f"technique={name}"]))[name].role in ("batch", "loss")
]
# The rate drops between the checkpoint of step 20 and the kill; anchors are those of step 20.
OPTIONS = ("batch_size=6", "scheduler=multi_step", "scheduler.milestones=[22]")
OPTIONS += ("scheduler.interval=step", "max_steps=30")


def test_there_are_losses_with_and_without_a_state() -> None:
    assert {"ce", "gce", "elr", "tcr", "dal", "forward_correction", "mixup"} <= set(TAKEN_UP)


@pytest.mark.parametrize("name", TAKEN_UP)
def test_a_resumed_run_ends_as_the_uninterrupted_one(
    run_tiny: Run, killed_at: Kill, tmp_path: Path, name: str
) -> None:
    options = (f"technique={name}", *OPTIONS)
    whole = run_tiny(*options, name="whole")
    with killed_at(25):
        run_tiny(*options)
    resumed = run_tiny(*options)
    assert "resuming from" in (tmp_path / "run" / "run.log").read_text()
    assert resumed["final"] == whole["final"]
    assert resumed["techniques"] == whole["techniques"]
    one, other = (
        torch.load(tmp_path / run / "checkpoints" / "selected.ckpt", weights_only=True)
        for run in ("run", "whole")
    )
    for key, value in one["state_dict"].items():
        assert torch.equal(value, other["state_dict"][key]) and value.isfinite().all()
    a, b = (History.read_csv(tmp_path / run / "metrics.csv") for run in ("run", "whole"))
    assert str(a.rows) == str(b.rows)  # as text, in which NaN is NaN


@pytest.mark.parametrize("step", [15, 25])
def test_anchors_are_estimated_alike_by_a_run_killed_before_or_after_the_estimate(
    run_tiny: Run, killed_at: Kill, step: int
) -> None:
    options = ("technique=forward_correction", "technique.forward_correction.warmup_epochs=4")
    options += ("batch_size=6", "checkpoint_every_n_steps=7")
    whole = run_tiny(*options, name="whole")
    assert whole["techniques"]["forward_correction"]["estimated_step"] == 16
    with killed_at(step):
        run_tiny(*options)
    resumed = run_tiny(*options)
    assert resumed["techniques"] == whole["techniques"]
    assert resumed["final"] == whole["final"]
