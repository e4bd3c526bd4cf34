from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import nn

from labelnoise.config.composition import compose
from labelnoise.config.schedules import check_schedule, run_steps
from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.learner.history import History
from labelnoise.models import SmallCNN
from labelnoise.training.train import train
from tests.conftest import Kill, Run, but_slow

EPOCHS, STEPS_PER_EPOCH = 6, 3


@pytest.fixture
def image_config(tmp_path: Path) -> Callable[..., DictConfig]:
    """24 random images of two classes, 20 of them trained on: three steps an epoch."""
    pixels = np.random.default_rng(0)
    for part, each in (("train", 12), ("test", 3)):
        for name in ("cat", "dog"):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for number in range(each):
                array = pixels.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(array).save(folder / f"{number}.png")
    options = (
        "allow_targets=[tests]",
        "data=image_folder",
        f"data.root={tmp_path / 'images'}",
        "data.image_size=8",
        "data.val_fraction=0.16",
        "noise=symmetric",
        "model=cnn",
        "model.width=2",
        "optimizer=sgd",
        "batch_size=8",
        f"max_epochs={EPOCHS}",
        "threads=1",
        "trainer.enable_progress_bar=false",
        "logger=none",
    )
    return lambda *overrides: compose([*options, *overrides])


@pytest.fixture
def run_images(
    tmp_path: Path, image_config: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> Run:
    # Not tested here, and most of the time of a short run.
    monkeypatch.setattr("labelnoise.training.train.write_figures", lambda *args: [])

    def run(*overrides: str, name: str = "run") -> dict[str, Any]:
        return train(image_config(*overrides), tmp_path / name)

    return run


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every step that is taken."""
    taken: list[float] = []
    original = NoisyLabelClassifier.training_step

    def training_step(
        module: NoisyLabelClassifier, batch: Any, index: int
    ) -> dict[str, torch.Tensor]:
        taken.append(module.trainer.optimizers[0].param_groups[0]["lr"])
        return original(module, batch, index)

    monkeypatch.setattr(NoisyLabelClassifier, "training_step", training_step)
    return taken


def cosine(t: int, T: int) -> float:
    return (1 + math.cos(math.pi * t / T)) / 2


STEPS = EPOCHS * STEPS_PER_EPOCH
SCHEDULES: list[tuple[list[str], Callable[[int, int], float]]] = [
    (["scheduler=constant"], lambda step, epoch: 1.0),
    (["scheduler=step", "scheduler.step_size=2"], lambda step, epoch: 0.1 ** (epoch // 2)),
    (["scheduler=step", "scheduler.step_size=4", "scheduler.interval=step"],
     lambda step, epoch: 0.1 ** (step // 4)),
    (["scheduler=multi_step", "scheduler.milestones=[1,4]", "scheduler.gamma=0.5"],
     lambda step, epoch: 0.5 ** ((epoch >= 1) + (epoch >= 4))),
    (["scheduler=cosine"], lambda step, epoch: cosine(epoch, EPOCHS)),
    (["scheduler=cosine", "scheduler.interval=step", f"scheduler.T_max={STEPS}"],
     lambda step, epoch: cosine(step, STEPS)),
]  # fmt: skip
IDS = ["constant", "step", "step_in_steps", "multi_step", "cosine", "cosine_in_steps"]


@pytest.mark.parametrize(("options", "factor"), SCHEDULES, ids=IDS)
def test_every_step_has_the_rate_of_the_formula(
    run_images: Run, rates: list[float], options: list[str], factor: Callable[[int, int], float]
) -> None:
    run_images(*options, "optimizer.lr=0.01", "monitor=none")
    expected = [0.01 * factor(step, step // STEPS_PER_EPOCH) for step in range(STEPS)]
    assert rates == pytest.approx(expected, abs=1e-12)


def test_the_rate_is_recorded_where_there_is_a_schedule(
    run_images: Run, rates: list[float], tmp_path: Path
) -> None:
    """Recorded at the start and once per epoch: the rate of the next step."""
    run_images("scheduler=cosine", "optimizer.lr=0.01")
    steps, recorded = History.read_csv(tmp_path / "run" / "metrics.csv").series("train/lr")
    assert steps.tolist() == list(range(0, STEPS + 1, STEPS_PER_EPOCH))
    assert recorded.tolist() == [*rates[::STEPS_PER_EPOCH], 0.0]
    run_images(name="constant")
    assert "train/lr" not in History.read_csv(tmp_path / "constant" / "metrics.csv").names


class NormalizedDropout(nn.Module):
    """What a resumed run must restore: running statistics and torch's global stream."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            SmallCNN(input_shape, 6, width=2),
            nn.Unflatten(1, (6, 1, 1)),
            nn.BatchNorm2d(6),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(6, num_classes, bias=False),
        )
        nn.init.constant_(self.layers.get_parameter("5.weight"), 0.3)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self.layers(input)


class InPlaceOfSmallCNN(NormalizedDropout):
    def __init__(self, input_shape: tuple[int, ...], num_classes: int, **options: Any) -> None:
        super().__init__(input_shape, num_classes)


@pytest.fixture
def normalized_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """``model=cnn model.width=2`` builds the network above."""
    monkeypatch.setattr("labelnoise.models.SmallCNN", InPlaceOfSmallCNN)


def selected(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(run / "checkpoints" / "selected.ckpt", weights_only=True)
    return checkpoint["state_dict"]


def assert_equal_weights(one: Path, other: Path) -> None:
    left, right = selected(one), selected(other)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    ("options", "killed", "every"),
    but_slow((SCHEDULES[2][0], 11, "2"), (SCHEDULES[3][0], 9, "null"), (SCHEDULES[4][0], 7, "2")),
    ids=["step", "multi_step", "cosine"],
)
def test_a_killed_run_with_a_schedule_is_taken_to_the_same_end(
    run_images: Run,
    rates: list[float],
    normalized_dropout: None,
    tmp_path: Path,
    killed_at: Kill,
    options: list[str],
    killed: int,
    every: str,
) -> None:
    """With batch norm and dropout; killed inside an epoch, at its first and at its last step."""
    options = [*options, f"checkpoint_every_n_steps={every}"]
    whole = run_images(*options, name="whole")
    expected = list(rates)
    assert len(set(expected)) >= 3
    with killed_at(killed):
        run_images(*options)
    rates.clear()
    resumed = run_images(*options)
    assert 0 < len(rates) < STEPS and rates == expected[-len(rates) :]
    assert resumed["final"] == whole["final"]
    assert_equal_weights(tmp_path / "run", tmp_path / "whole")
    files = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("run", "whole")]
    assert files[0] == files[1]


def test_watching_leaves_running_statistics_alone(
    run_images: Run, normalized_dropout: None, tmp_path: Path
) -> None:
    """Equal bit for bit to a run without monitors, and changed by training."""
    run_images("log_every_n_steps=1", "eval_every_n_steps=2", name="watched")
    run_images("monitor=none", "eval_every_n_steps=2", name="alone")
    assert_equal_weights(tmp_path / "watched", tmp_path / "alone")
    weights = selected(tmp_path / "watched")
    mean = next(value for name, value in weights.items() if name.endswith("running_mean"))
    assert mean.abs().max() > 0


def test_the_length_of_a_run_is_that_of_its_first_limit() -> None:
    assert run_steps(100, max_steps=-1, max_epochs=60) == 6000
    assert run_steps(100, max_steps=250, max_epochs=60) == 250
    assert run_steps(100, max_steps=250, max_epochs=-1) == 250
    assert run_steps(100, max_steps=9000, max_epochs=60) == 6000


def refusal(options: dict[str, Any], steps_per_epoch: int, max_steps: int, max_epochs: int) -> str:
    with pytest.raises(InputError) as raised:
        check_schedule(options, steps_per_epoch, max_steps, max_epochs)
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"step_size": 20, "gamma": 0.1}, "scheduler.interval=step scheduler.step_size=1000"),
        ({"milestones": [3]}, "scheduler.interval=step scheduler.milestones=[1500,2250]"),
        ({"T_max": 1}, "scheduler.interval=step scheduler.T_max=3000"),
        ({"factor": 0.5}, "write scheduler.interval=step"),
    ],
)
@pytest.mark.parametrize("max_epochs", [1, 7, -1])
def test_a_schedule_that_would_never_move_says_how_to_count_steps(
    options: dict[str, Any], advice: str, max_epochs: int
) -> None:
    message = refusal({**options, "interval": "epoch"}, 3000, 3000, max_epochs)
    assert message.startswith("the schedule counts epochs, but this run ends within its first")
    assert message.endswith(advice)


@pytest.mark.parametrize(
    ("options", "length", "message"),
    [
        ({"interval": "batch"}, (10, -1, 6), "scheduler.interval must be epoch or step, got batch"),
        ({"T_max": -1}, (10, 100, -1), "scheduler.T_max is max_epochs=-1, no limit"),
        ({"T_max": 6, "interval": "step"}, (10, -1, 6), "has 60 steps: write scheduler.T_max=60"),
        ({"T_max": 1, "interval": "step"}, (30, 30, 1), "has 30 steps: write scheduler.T_max=30"),
        ({"T_max": 0}, (10, -1, 6), "scheduler.T_max must be a whole number of at least 1, got 0"),
        ({"step_size": 0}, (10, -1, 6), "scheduler.step_size must be a whole number"),
        ({"step_size": 2.5}, (10, -1, 6), "scheduler.step_size must be a whole number"),
        ({"milestones": []}, (10, -1, 6), "must be whole numbers, as [30,45], got []"),
        ({"milestones": 30}, (10, -1, 6), "a list, each a whole number of at least 1, got 30"),
        ({"milestones": [0, 3]}, (10, -1, 6), "a whole number of at least 1, got [0, 3]"),
        ({"gamma": 0.0}, (10, -1, 6), "scheduler.gamma must be a number above 0, got 0.0"),
        ({"gamma": math.nan}, (10, -1, 6), "scheduler.gamma must be a number above 0, got nan"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(
    options: dict[str, Any], length: tuple[int, int, int], message: str
) -> None:
    assert message in refusal({"interval": "epoch", **options}, *length)


@pytest.mark.parametrize(
    ("options", "length"),
    [
        ({"T_max": 6, "interval": "epoch"}, (10, -1, 6)),
        ({"T_max": 60, "interval": "step"}, (10, -1, 6)),
        ({"T_max": 1, "interval": "epoch"}, (10, -1, 1)),  # a trial of one epoch
        ({"T_max": 6, "interval": "step"}, (1, -1, 6)),  # full-batch: a step is an epoch
        ({"step_size": 3, "interval": "epoch"}, (10, 11, 6)),
    ],
)
def test_a_schedule_that_fits_passes(options: dict[str, Any], length: tuple[int, int, int]) -> None:
    check_schedule(options, *length)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("scheduler=step", "scheduler.interval=step scheduler.step_size=20"),
        ("scheduler=multi_step", r"scheduler.interval=step scheduler.milestones=\[30,45\]"),
        ("scheduler=cosine", "scheduler.interval=step scheduler.T_max=60"),
        (
            "scheduler=cosine scheduler.interval=step",
            "this run has 60 steps: write scheduler.T_max=60",
        ),
        ("optimizer.momentum=-1", "optimizer.momentum must be a number of at least 0, got -1"),
    ],
)
def test_signal_noise_data_are_one_epoch_and_it_is_said_before_training(
    run_tiny: Run, tmp_path: Path, words: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_tiny(*words.split())
    assert not (tmp_path / "run").exists()


def test_the_advice_for_signal_noise_data_works(run_tiny: Run, rates: list[float]) -> None:
    run_tiny("scheduler=step", "scheduler.interval=step", "scheduler.step_size=20")
    assert rates == pytest.approx([0.05] * 20 + [0.005] * 20 + [0.0005] * 20)


def test_accumulated_gradients_make_fewer_steps(run_images: Run, rates: list[float]) -> None:
    """Two steps an epoch, each of up to two of its three batches."""
    accumulate = "trainer.accumulate_grad_batches=2"
    options = ("scheduler=cosine", "scheduler.interval=step")
    with pytest.raises(InputError, match=f"this run has {2 * EPOCHS} steps: write"):
        run_images(*options, accumulate)
    run_images(*options, accumulate, f"scheduler.T_max={2 * EPOCHS}", "optimizer.lr=0.01")
    steps = [epoch * 2 + place for epoch in range(EPOCHS) for place in (0, 0, 1)]
    assert rates == pytest.approx([0.01 * cosine(step, 2 * EPOCHS) for step in steps], abs=1e-12)
