from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig
from torch import nn

from labelnoise.data.batch import Split
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.learner.label_metrics import label_metrics, measure_test
from labelnoise.learner.loss import weighted_mean
from labelnoise.measures.coefficients import read_coefficients, signal_and_noise
from labelnoise.report.loaded import load_run
from labelnoise.run_directory import claim
from labelnoise.training.building import build
from labelnoise.training.isolation import isolated
from tests.conftest import TINY, Run, latest

ROOT = Path(__file__).resolve().parents[2]
SHARES = ("clean_correct", "clean_incorrect", "wrong_corrected", "wrong_memorized",
          "wrong_incorrect")  # fmt: skip


@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_label_metrics_equal_a_count_by_hand(n: int, num_classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, num_classes, generator=generator)
    label = torch.randint(num_classes, (n,), generator=generator)
    clean = torch.randint(num_classes, (n,), generator=generator)

    counts = dict.fromkeys(("fit", "clean", "fit_clean", "noisy", "fit_noisy", "corrected"), 0)
    shares = dict.fromkeys(SHARES, 0.0)
    loss = 0.0
    for i in range(n):
        scores = logits[i].tolist()
        guess = scores.index(max(scores))
        kind = "clean" if label[i] == clean[i] else "noisy"
        counts[kind] += 1
        counts["fit"] += int(guess == label[i])
        counts[f"fit_{kind}"] += int(guess == label[i])
        counts["corrected"] += int(kind == "noisy" and guess == clean[i])
        if kind == "clean":
            outcome = "clean_correct" if guess == label[i] else "clean_incorrect"
        elif guess == clean[i]:
            outcome = "wrong_corrected"
        else:
            outcome = "wrong_memorized" if guess == label[i] else "wrong_incorrect"
        shares[outcome] += 1 / n
        loss -= scores[label[i]] - math.log(sum(math.exp(s) for s in scores))

    def share(part: str, whole: int) -> float:
        return counts[part] / whole if whole else math.nan

    expected = {
        "loss": loss / n,
        "acc": share("fit", n),
        "acc_clean": share("fit_clean", counts["clean"]),
        "acc_noisy": share("fit_noisy", counts["noisy"]),
        "memorized_fraction": share("fit_noisy", counts["noisy"]),
        "corrected_fraction": share("corrected", counts["noisy"]),
        **shares,
    }
    found = label_metrics(logits, label, clean)
    assert found == pytest.approx(expected, abs=1e-5, nan_ok=True)
    assert sum(found[name] for name in SHARES) == pytest.approx(1)


def test_samples_of_weight_zero_do_not_count() -> None:
    value = torch.tensor([1.0, 5.0, 3.0])
    assert weighted_mean(value, torch.tensor([1.0, 0.0, 1.0])) == 2.0
    assert weighted_mean(value, torch.zeros(3)) == 0.0


def test_held_out_accuracy_is_told_against_clean_and_against_noisy_labels() -> None:
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    given, clean = torch.tensor([1, 1, 1, 0]), torch.tensor([0, 0, 1, 0])
    split = Split(torch.zeros(4, 1), given, clean, torch.arange(4))
    right, wrong = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert measure_test(logits, split) == {
        "loss": pytest.approx((3 * right + wrong) / 4), "acc": 0.75, "acc_noisy_labels": 0.25,
    }  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_uses_evaluation_mode_and_puts_the_mode_back(training: bool) -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2))
    classifier = NoisyLabelClassifier(model, torch.optim.SGD, eval_batch_size=4)
    model.train(training)
    input, label = torch.ones(10, 3), torch.zeros(10, dtype=torch.long)
    state = torch.get_rng_state()
    logits = classifier.logits(Split(input, label, label, label))
    assert model.training is training
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(logits, model[1](input).detach())


def test_validation_is_against_the_given_labels(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    cfg = tiny_config("noise_rate=0.4", "max_steps=20")
    with claim(tmp_path / "run", cfg, []) as run, isolated(0):
        parts = build(cfg, run)
        parts.trainer.fit(parts.classifier, datamodule=parts.datamodule)
    val = parts.datamodule.val
    assert val is not None
    prediction = parts.classifier.logits(val).argmax(1)
    against_given = (prediction == val.label).double().mean().item()
    assert against_given != (prediction == val.clean_label).double().mean().item()
    assert parts.classifier.history.at("val/acc", 20) == pytest.approx(against_given)


def test_signal_and_noise_are_the_largest_over_the_samples_in_training(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    cfg = tiny_config("max_steps=20")
    with claim(tmp_path / "run", cfg, []) as run, isolated(0):
        parts = build(cfg, run)
        parts.trainer.fit(parts.classifier, datamodule=parts.datamodule)
    trainer, classifier = parts.trainer, parts.classifier
    gamma, rho = read_coefficients(trainer, classifier)
    assert signal_and_noise(trainer, classifier) == (gamma.max().item(), rho.max().item())
    leader = rho.amax((0, 1)).argmax()
    classifier.sample_weight[leader] = 0.0
    others = [i for i in range(20) if i != leader]
    assert signal_and_noise(trainer, classifier)[1] == rho[..., others].max().item() < rho.max()
    classifier.sample_weight.fill_(0.0)
    least = rho.amin((0, 1)).argmin()
    classifier.sample_weight[least] = 1.0
    assert signal_and_noise(trainer, classifier)[1] == rho[..., least].max().item()


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_metrics_come_in_single_precision_at_least_whatever_trains(
    run_tiny: Run, precision: str
) -> None:
    options = ("batch_size=7", "max_steps=10", f"trainer.precision={precision}")
    summary = run_tiny(*options, "monitor=memorization", name=precision)
    plain = run_tiny(*options[:2], "monitor=memorization", name="plain")
    assert summary["final"]["train/loss"] == pytest.approx(plain["final"]["train/loss"], abs=0.01)


def test_half_precision_logits_become_single_before_any_loss() -> None:
    classifier = NoisyLabelClassifier(nn.Linear(3, 2).bfloat16(), torch.optim.SGD)
    assert classifier.forward(torch.ones(4, 3, dtype=torch.bfloat16)).dtype == torch.float32
    classifier = NoisyLabelClassifier(nn.Linear(3, 2).double(), torch.optim.SGD)
    assert classifier.forward(torch.ones(4, 3, dtype=torch.float64)).dtype == torch.float64


def test_channels_last_changes_the_layout_alone() -> None:
    def model() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))

    seen = []
    plain = NoisyLabelClassifier(model(), torch.optim.SGD)
    other = NoisyLabelClassifier(model(), torch.optim.SGD, channels_last=True)
    other.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    input = torch.randn(5, 3, 4, 4)
    torch.testing.assert_close(other.forward(input), plain.forward(input))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    weight = other.model.get_parameter("0.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_a_compiled_model_keeps_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def compile(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        def counted(*args: torch.Tensor) -> torch.Tensor:
            calls.append(len(args))
            return function(*args)

        return counted

    monkeypatch.setattr(torch, "compile", compile)
    plain = NoisyLabelClassifier(nn.Linear(3, 2), torch.optim.SGD)
    compiled = NoisyLabelClassifier(nn.Linear(3, 2), torch.optim.SGD, compile=True)
    assert compiled.state_dict().keys() == plain.state_dict().keys()
    compiled.load_state_dict(plain.state_dict())
    input = torch.randn(4, 3)
    assert torch.equal(compiled.forward(input), plain.forward(input)) and calls == [1]


@pytest.mark.slow
def test_a_compiled_run_is_the_run_and_its_network_is_read_without_compiling(
    run_tiny: Run, tmp_path: Path
) -> None:
    options = ("batch_size=7", "max_steps=10")
    # In a process of its own: the types that tests check at run time cannot be compiled.
    place = (f"output_dir={tmp_path}", "name=compiled", "compile=true")
    command = [sys.executable, "run.py", *latest(*TINY, *options, *place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    plain = run_tiny(*options, name="plain")
    compiled = load_run(tmp_path / "compiled").summary
    for name, value in plain["final"].items():
        assert compiled["final"][name] == pytest.approx(value, abs=1e-4), name
    ours, theirs = (
        torch.load(tmp_path / name / "checkpoints" / "selected.ckpt", weights_only=True)
        for name in ("compiled", "plain")
    )
    torch.testing.assert_close(ours["state_dict"], theirs["state_dict"], atol=1e-4, rtol=0)


def test_accumulated_batches_of_one_size_are_one_batch(run_tiny: Run) -> None:
    """20 samples are two batches of 10 in every pass."""
    options = ("max_steps=8", "monitor=memorization")
    both = run_tiny(*options, "batch_size=10", "trainer.accumulate_grad_batches=2", name="both")
    whole = run_tiny(*options, "batch_size=20", name="whole")
    assert both["step"] == whole["step"] == 8
    for name, value in whole["final"].items():
        assert both["final"][name] == pytest.approx(value, abs=1e-5), name
