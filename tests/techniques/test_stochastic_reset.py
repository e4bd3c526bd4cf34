from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.report.loaded import load_run
from labelnoise.techniques import StochasticReset, stochastic_reset
from labelnoise.techniques.stochastic_reset import is_reset
from tests.conftest import Kill, Run

RESET = "technique=stochastic_reset"
NORMALISED = "model._target_=tests.parts.NormalisedImages"


def options(**values: Any) -> list[str]:
    return [RESET, *(f"technique.stochastic_reset.{k}={v}" for k, v in values.items())]


def selected(run: Path) -> dict[str, Tensor]:
    state = torch.load(run / "checkpoints" / "selected.ckpt", weights_only=True)
    return state["state_dict"]


class Script:
    """Stands in for a validation metric, worst where not named, and keeps each step's weights."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        watched: dict[int, float] | None = None,
        metric: str = "val/loss",
    ) -> None:
        self.weights: dict[int, Tensor] = {}
        self.resets: list[int] = []
        original = StochasticReset.on_train_batch_end

        def batch_end(
            technique: StochasticReset, trainer: Trainer, module: LightningModule, *args: Any
        ) -> None:
            before = technique.resets
            original(technique, trainer, module, *args)
            assert isinstance(module, NoisyLabelClassifier)
            weight = module.model.get_parameter("weight")
            self.weights[trainer.global_step] = weight.detach().clone()
            self.resets += [trainer.global_step] * (technique.resets - before)

        validated = StochasticReset.on_validation_end

        def validation_end(
            technique: StochasticReset, trainer: Trainer, module: LightningModule
        ) -> None:
            if watched is not None:
                worst = 9.0 if metric == "val/loss" else 0.0
                assert isinstance(module, NoisyLabelClassifier)
                step = trainer.global_step
                module.history.record(step, {metric: watched.get(step, worst)})
            validated(technique, trainer, module)

        patch.setattr(StochasticReset, "on_train_batch_end", batch_end)
        patch.setattr(StochasticReset, "on_validation_end", validation_end)


@pytest.mark.slow
def test_rate_0_is_plain_training_bit_for_bit(run_images: Run, tmp_path: Path) -> None:
    model = (NORMALISED, "optimizer.momentum=0.9", "scheduler=step", "scheduler.step_size=2")
    plain = run_images(*model, name="plain")
    kept = run_images(*model, *options(r=0, activation="at_once"))
    assert kept["final"] == plain["final"]
    ours, theirs = selected(tmp_path / "run"), selected(tmp_path / "plain")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    report = kept["techniques"]["stochastic_reset"]
    assert (report["active_step"], report["resets"]) == (0, 0)


@pytest.mark.parametrize(
    ("by", "watched"),
    [
        ("val_loss", {10: 0.5, 20: 0.6, 30: 0.5, 40: 0.4}),
        ("val_acc", {10: 0.7, 20: 0.6, 30: 0.7, 40: 0.8}),
    ],
)
@pytest.mark.parametrize(
    ("adaptive", "checkpoints"), [(True, {29: 10, 45: 40}), (False, {29: 10, 45: 10})]
)
def test_it_begins_a_threshold_after_the_best_and_returns_to_it(
    run_tiny: Run,
    monkeypatch: pytest.MonkeyPatch,
    adaptive: bool,
    checkpoints: dict[int, int],
    by: str,
    watched: dict[int, float],
) -> None:
    """Validated every 10 steps, best at 10 and, after 19 steps have made it active, at 40."""
    script = Script(monkeypatch, watched, by.replace("_", "/"))
    monkeypatch.setattr(stochastic_reset, "is_reset", lambda seed, step, r: step in (5, 29, 45))
    reset = options(activation="threshold", threshold=19, adaptive=adaptive, checkpoint_by=by)
    summary = run_tiny(*reset, "eval_every_n_steps=10")
    assert script.resets == [29, 45]
    for step, checkpoint in checkpoints.items():
        assert torch.equal(script.weights[step], script.weights[checkpoint])
    report = summary["techniques"]["stochastic_reset"]
    assert (report["active_step"], report["resets"]) == (29, 2)
    assert report["checkpoint_step"] == checkpoints[45]


def test_rate_1_never_leaves_the_checkpoint_and_logs_it(
    run_tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(monkeypatch)
    summary = run_tiny(*options(r=1, activation="at_once", adaptive="false"))
    assert summary["techniques"]["stochastic_reset"]["resets"] == 60
    assert all(torch.equal(weight, script.weights[1]) for weight in script.weights.values())
    history = load_run(tmp_path / "run").history
    assert [history.at(f"reset/{name}", 40) for name in ("resets", "steps_since", "distance")] == [
        40.0, 0.0, 0.0,
    ]  # fmt: skip


def test_full_batch_descent_takes_the_same_path_again(
    run_tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With momentum: after a reset every step equals the step of a run without resets."""
    script = Script(monkeypatch, {20: 0.1})
    monkeypatch.setattr(stochastic_reset, "is_reset", lambda seed, step, r: step == 37)
    run_tiny(*options(activation="threshold", threshold=5), "optimizer.momentum=0.9")
    again = script.weights
    for since in range(1, 17):
        assert torch.equal(again[37 + since], again[20 + since])
    assert not torch.equal(again[38], again[37])
    history = load_run(tmp_path / "run").history
    assert history.at("reset/steps_since", 40) == 3.0
    distance = (again[40].double() - again[20].double()).norm().item()
    assert history.at("reset/distance", 40) == pytest.approx(distance)


@pytest.mark.parametrize(
    ("lead", "active", "checkpoint"),
    [
        ({10: 1.0, 20: 3.0, 30: 2.0, 40: 1.0}, 40, 20),  # past its peak
        ({10: -1.0, 20: -2.0, 30: -3.0}, 20, 10),  # no peak, noise leads
        ({10: 1.0, 20: 3.0, 30: 2.0, 40: 2.5, 50: 3.5, 60: 3.0}, 40, 50),  # and adapts
    ],
)
def test_on_signal_noise_data_it_begins_at_the_end_of_stage_one(
    run_tiny: Run, monkeypatch: pytest.MonkeyPatch, lead: dict[int, float], active: int,
    checkpoint: int,
) -> None:  # fmt: skip
    script = Script(monkeypatch)
    monkeypatch.setattr(
        stochastic_reset,
        "signal_and_noise",
        lambda trainer, module: (lead.get(trainer.global_step, -9.0), 0.0),
    )
    monkeypatch.setattr(stochastic_reset, "is_reset", lambda seed, step, r: step == 57)
    # It does not look at the validation loss, and can do without.
    summary = run_tiny(RESET, "data.n_val=0")
    report = summary["techniques"]["stochastic_reset"]
    assert report["activation"] == "stage"
    assert (report["active_step"], report["checkpoint_step"]) == (active, checkpoint)
    assert torch.equal(script.weights[57], script.weights[checkpoint])


def test_a_partial_reset_touches_what_its_patterns_name(
    run_images: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, dict[str, Tensor]] = {}
    original = stochastic_reset.put_back

    def put_back(model: torch.nn.Module, *args: Any) -> None:
        seen["left"] = {name: value.clone() for name, value in model.state_dict().items()}
        original(model, *args)
        seen["after"] = {name: value.clone() for name, value in model.state_dict().items()}

    monkeypatch.setattr(stochastic_reset, "put_back", put_back)
    monkeypatch.setattr(stochastic_reset, "is_reset", lambda seed, step, r: step == 15)
    reset = options(activation="at_once", adaptive="false", parameters="['4.*','*.running_mean']")
    run_images(*reset, NORMALISED, "max_epochs=3")
    left, after = seen["left"], seen["after"]
    changed = {name for name in left if not torch.equal(left[name], after[name])}
    assert changed == {"4.weight", "4.bias", "1.running_mean"} < set(left)


@pytest.mark.parametrize("step", [33, 57])
def test_a_resumed_run_is_the_uninterrupted_one_on_signal_noise_data(
    run_tiny: Run, tmp_path: Path, killed_at: Kill, step: int
) -> None:
    """Killed before it is active and between resets; checkpoints lie at 20 and 40."""
    reset = options(r=0.2, activation="threshold", threshold=15)
    reset += ["optimizer=adam", "optimizer.lr=0.05", "batch_size=7"]
    whole = run_tiny(*reset, name="whole")
    with killed_at(step):
        run_tiny(*reset)
    resumed = run_tiny(*reset)
    assert whole["techniques"]["stochastic_reset"]["resets"] > 0
    assert_equal(whole, resumed, tmp_path)


def test_a_resumed_run_is_the_uninterrupted_one_on_images(
    run_images: Run, tmp_path: Path, killed_at: Kill
) -> None:
    """With batch norm, momentum and a schedule; checkpoints lie at every fifth of 24 steps."""
    reset = options(r=0.3, activation="threshold", threshold=3)
    reset += [NORMALISED, "optimizer.momentum=0.9", "scheduler=step", "scheduler.step_size=1"]
    reset += ["batch_size=27", "max_epochs=5", "checkpoint_every_n_steps=3"]
    monitor = "monitor=memorization"
    whole = run_images(*reset, monitor, name="whole")
    with killed_at(8):
        run_images(*reset, monitor)
    resumed = run_images(*reset, monitor)
    assert whole["techniques"]["stochastic_reset"]["resets"] > 0
    assert_equal(whole, resumed, tmp_path)


def assert_equal(whole: dict[str, Any], resumed: dict[str, Any], folder: Path) -> None:
    assert resumed["final"] == whole["final"]
    assert resumed["techniques"] == whole["techniques"]
    files = [(folder / name / "metrics.csv").read_bytes() for name in ("run", "whole")]
    assert files[0] == files[1]
    ours, theirs = selected(folder / "run"), selected(folder / "whole")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("r", [0.05, 0.5])
def test_resets_are_independent_draws_of_probability_r(r: float) -> None:
    """Counts of 4,000 draws and of pairs in a row within 4 standard deviations."""
    n = 4000
    drawn = torch.tensor([is_reset(3, step, r) for step in range(n)], dtype=torch.double)
    assert abs(drawn.sum() - n * r) < 4 * (n * r * (1 - r)) ** 0.5
    pairs, p = drawn[::2] * drawn[1::2], r**2
    assert abs(pairs.sum() - n / 2 * p) < 4 * (n / 2 * p * (1 - p)) ** 0.5
    assert drawn.tolist() != [is_reset(4, step, r) for step in range(n)]
    assert not any(is_reset(3, step, 0.0) for step in range(100))
    assert all(is_reset(3, step, 1.0) for step in range(100))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"r": -0.1}, "r must be a number from 0 to 1, got -0.1"),
        ({"r": 1.5}, "r must be a number from 0 to 1, got 1.5"),
        ({"r": float("nan")}, "r must be a number from 0 to 1, got nan"),
        ({"activation": "soon"}, "one of auto, threshold, at_once, stage, got soon"),
        ({"checkpoint_by": "loss"}, "one of val_loss, val_acc, got loss"),
        ({"threshold": 0}, "threshold must be a whole number of at least 1, got 0"),
        (
            {"check_every_n_steps": 0},
            "check_every_n_steps must be a whole number of at least 1, got 0",
        ),
        ({"patience": 0}, "patience must be a whole number of at least 1, got 0"),
        ({"parameters": []}, "parameters must be a list of patterns"),
        ({"parameters": "head"}, "parameters must be a list of patterns"),
    ],
)
def test_bad_options_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        StochasticReset(**wrong)


def test_what_the_data_and_the_network_do_not_allow_is_refused(run_tiny: Run) -> None:
    with pytest.raises(InputError, match="there are no validation samples"):
        run_tiny(*options(activation="threshold"), "data.n_val=0")
    with pytest.raises(InputError, match=r"parameters: the pattern 'head\.\*' .*: weight$"):
        run_tiny(*options(parameters="['head.*']"))
    with pytest.raises(InputError, match=r"d >= n \+ 1"):
        run_tiny(*options(activation="stage"), "data.d=20", "monitor=memorization")


def test_a_run_too_short_for_its_threshold_is_plain_and_says_so(
    run_tiny: Run, caplog: pytest.LogCaptureFixture
) -> None:
    summary = run_tiny(*options(activation="threshold"))
    assert summary["techniques"]["stochastic_reset"]["active_step"] is None
    assert "never active in 60 steps" in caplog.text
