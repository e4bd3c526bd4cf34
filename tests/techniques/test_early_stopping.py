from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer

from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.report.loaded import load_run
from labelnoise.stoppers import PatienceDetector
from labelnoise.techniques import EarlyStopping, early_stopping
from tests.conftest import Finished, Run


class Scripted:
    """Replaces the coefficients: gamma is 1, and the script has rho at each step."""

    def __init__(self, rho: dict[int, float]) -> None:
        self.rho = rho

    def __call__(self, trainer: Trainer, module: NoisyLabelClassifier) -> tuple[float, float]:
        return 1.0, self.rho.get(trainer.global_step, 0.0)


@pytest.mark.parametrize(
    ("rho", "patience", "stopped", "selected"),
    [
        ({20: 2.0, 25: 2.0, 30: 2.0}, 3, 30, 20),
        ({20: 2.0, 30: 2.0, 35: 2.0}, 2, 35, 30),  # a streak that broke off does not count
        ({20: 2.0}, 1, 20, 20),
        ({20: 1.0, 25: 1.0}, 1, None, 60),  # equal is not above
        ({}, 3, None, 60),
    ],
)
def test_it_stops_at_the_scripted_step_and_keeps_the_network_of_the_first_check(
    run_tiny: Run,
    finished_tiny: Finished,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rho: dict[int, float],
    patience: int,
    stopped: int | None,
    selected: int,
) -> None:
    monkeypatch.setattr(early_stopping, "signal_and_noise", Scripted(rho))
    options = ("technique.early_stop.every_n_steps=5", f"technique.early_stop.patience={patience}")
    summary = run_tiny("technique=early_stop", *options)
    report = summary["techniques"]["early_stop"]
    assert (report["stopped_step"], report["selected_step"]) == (stopped, selected)
    assert summary["status"] == ("finished" if stopped is None else "stopped_early")
    assert summary["step"] == (stopped or 60)
    # The network kept is the one of that step, tested and saved.
    until = finished_tiny(f"max_steps={selected}")
    assert summary["final"] == load_run(until).summary["final"]
    kept, expected = (
        torch.load(path / "checkpoints" / "selected.ckpt", weights_only=True)
        for path in (tmp_path / "run", until)
    )
    assert torch.equal(kept["state_dict"]["model.weight"], expected["state_dict"]["model.weight"])


def test_on_real_coefficients_it_stops_where_noise_overtakes_signal(
    run_tiny: Run, tmp_path: Path
) -> None:
    # A weak signal is overtaken soon, and 20 samples have few noisy ones to lead.
    options = ("data.n_snr_squared=2", "noise_rate=0.4", "max_steps=400", "log_every_n_steps=10")
    summary = run_tiny("technique=early_stop", *options)
    report = summary["techniques"]["early_stop"]
    assert report["trigger"] == "coefficients" and summary["status"] == "stopped_early"
    history = load_run(tmp_path / "run").history
    gamma = dict(zip(*history.series("coefficients/gamma_max"), strict=True))
    rho = dict(zip(*history.series("coefficients/rho_max"), strict=True))
    overtaken = [step for step in gamma if rho[step] > gamma[step] and step % 10 == 0]
    assert overtaken[:3] == [report["selected_step"] + 10 * i for i in range(3)]


def test_by_validation_loss_the_best_network_is_kept(run_tiny: Run, tmp_path: Path) -> None:
    options = (
        "technique.early_stop.trigger=val_loss",
        "technique.early_stop.patience=4",
        "max_steps=2000",
        "optimizer.lr=0.5",
    )
    summary = run_tiny("technique=early_stop", *options)
    report = summary["techniques"]["early_stop"]
    steps, losses = load_run(tmp_path / "run").history.series("val/loss")
    assert report["selected_step"] == steps[losses.argmin()]
    assert report["stopped_step"] == steps[-1] == report["selected_step"] + 4 * 20
    until = run_tiny(*options[2:], f"max_steps={report['selected_step']}", name="until")
    assert summary["final"] == until["final"]


def test_a_resumed_run_stops_as_the_uninterrupted_one(
    run_tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the streak's beginning and its end, after the checkpoint of step 20."""
    script = Scripted({20: 2.0, 25: 2.0, 30: 2.0, 35: 2.0})
    monkeypatch.setattr(early_stopping, "signal_and_noise", script)
    options = ["technique=early_stop", "technique.early_stop.every_n_steps=5"]
    options += ["technique.early_stop.patience=4"]
    whole = run_tiny(*options, name="whole")

    def killed(trainer: Trainer, module: NoisyLabelClassifier) -> tuple[float, float]:
        if trainer.global_step == 30:
            raise RuntimeError("killed")
        return script(trainer, module)

    monkeypatch.setattr(early_stopping, "signal_and_noise", killed)
    with pytest.raises(RuntimeError, match="killed"):
        run_tiny(*options)
    assert not (tmp_path / "run" / "summary.json").exists()
    monkeypatch.setattr(early_stopping, "signal_and_noise", script)
    resumed = run_tiny(*options)
    assert resumed["techniques"] == whole["techniques"]
    assert resumed["final"] == whole["final"]
    assert whole["techniques"]["early_stop"]["selected_step"] == 20


def test_patience_waits_through_equal_losses() -> None:
    detector = PatienceDetector(2)
    assert not detector.update(0, 1.0)
    assert not detector.update(1, 1.0)
    copy = PatienceDetector(2)
    copy.load_state_dict(detector.state_dict())
    assert detector.update(2, 1.0) and copy.update(2, 1.0)
    assert copy.candidate_step == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"trigger": "magic"},
            "one of auto, val_loss, .*, label_wave, gmm_gap, got magic",
        ),
        ({"patience": 0}, "patience must be a whole number of at least 1, got 0"),
        ({"every_n_steps": 0}, "every_n_steps must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EarlyStopping(**options)


def test_validation_loss_needs_validation_samples(run_tiny: Run) -> None:
    with pytest.raises(InputError, match="there are no validation samples"):
        run_tiny("technique=early_stop", "technique.early_stop.trigger=val_loss", "data.n_val=0")


def test_the_coefficient_trigger_needs_enough_dimensions(run_tiny: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"d >= n \+ 1"):
        run_tiny("technique=early_stop", "data.d=20", "monitor=memorization")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("loss", "by"), [("elr", "val/acc"), ("ce", "val/loss")])
def test_without_coefficients_it_reads_what_the_loss_makes_meaningful(
    run_images: Run, loss: str, by: str
) -> None:
    summary = run_images(f"technique=[{loss},early_stop]", "max_epochs=2")
    assert summary["techniques"]["early_stop"]["trigger"] == by.replace("/", "_")
    assert summary["selected_by"] == by
    card = summary["report_card"]
    assert card["val_selected"] == card[f"{by.replace('/', '_')}_selected"] | {"by": by}
