from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from pytorch_lightning import LightningModule, Trainer

from labelnoise.data.batch import Batch
from labelnoise.errors import InputError
from labelnoise.report.loaded import load_run
from labelnoise.techniques import Mixup, mixup
from labelnoise.techniques.mixup import draw_share
from tests.conftest import Run
from tests.techniques.conftest import Step

BATCHES = ("batch_size=6", "optimizer.lr=0.5")


class Drawn:
    """Remembers the draws of mixup for every batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.draws: list[tuple[float, list[int]]] = []
        original = Mixup.on_train_batch_start

        def remember(
            technique: Mixup, trainer: Trainer, module: LightningModule, batch: Batch, index: int
        ) -> None:
            original(technique, trainer, module, batch, index)
            self.draws.append((technique.share, technique.partner.tolist()))

        monkeypatch.setattr(Mixup, "on_train_batch_start", remember)


def relu_network(weight: np.ndarray, input: np.ndarray) -> list[float]:
    """The two-layer CNN's logits of one sample, (1/m) sum_r sum_patches relu(<w, patch>)."""
    return [float(np.maximum(filters @ input.T, 0).sum() / len(filters)) for filters in weight]


@pytest.mark.parametrize("loss", ["ce", "mae"])
def test_every_step_mixes_inputs_and_losses_with_the_same_weights(
    run_tiny: Run, steps: list[Step], monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    drawn = Drawn(monkeypatch)
    weights: list[np.ndarray] = []
    original = Mixup.prepare_batch

    def prepare_batch(technique: Mixup, batch: Batch) -> Batch:
        weights.append(module[0].model.weight.detach().numpy().copy())
        return original(technique, batch)

    module: list = []
    setup = Mixup.setup

    def remember(technique: Mixup, trainer: Trainer, it: LightningModule, stage: str) -> None:
        module[:] = [it]
        setup(technique, trainer, it, stage)

    monkeypatch.setattr(Mixup, "prepare_batch", prepare_batch)
    monkeypatch.setattr(Mixup, "setup", remember)
    run_tiny(f"technique=[mixup,{loss}]", "max_steps=12", *BATCHES)
    assert len(steps) == len(drawn.draws) > 6
    for step, (share, partner), weight in zip(steps, drawn.draws, weights, strict=True):
        x, label = step.batch.input.numpy(), step.batch.label.tolist()
        assert sorted(partner) == list(range(len(label)))
        total = 0.0
        for i, j in enumerate(partner):
            z = relu_network(weight, share * x[i] + (1 - share) * x[j])
            assert step.logits[i].tolist() == pytest.approx(z, abs=1e-5)
            for part, y in ((share, label[i]), (1 - share, label[j])):
                p = 1 / (1 + math.exp(z[1 - y] - z[y]))
                total += part * (-math.log(p) if loss == "ce" else 1 - p)
        assert step.loss == pytest.approx(total / len(label), abs=1e-5)
    assert len({share for share, _ in drawn.draws}) == 12


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_shares_are_of_the_beta_distribution(alpha: float) -> None:
    shares = np.array([draw_share(alpha, 0, t) for t in range(4000)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert shares.mean() == pytest.approx(0.5, abs=5 * math.sqrt(variance / 4000))
    assert shares.var() == pytest.approx(variance, rel=0.1)


def test_shares_depend_on_the_seed_and_the_batch_alone() -> None:
    assert draw_share(1.0, 0, 7) == draw_share(1.0, 0, 7)
    assert draw_share(1.0, 0, 7) != draw_share(1.0, 0, 8) != draw_share(1.0, 1, 8)


@pytest.mark.slow
def test_a_share_of_1_trains_as_without_it(run_tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixup, "draw_share", lambda alpha, seed, t: 1.0)
    mixed = run_tiny("technique=mixup", *BATCHES, name="mixed")
    assert mixed["final"] == run_tiny(*BATCHES, name="plain")["final"]


@pytest.mark.slow
def test_the_order_in_which_it_is_named_does_not_matter(run_tiny: Run) -> None:
    one = run_tiny("technique=[mixup,gce]", *BATCHES, name="one")
    other = run_tiny("technique=[gce,mixup]", *BATCHES, name="other")
    plain = run_tiny("technique=mixup", *BATCHES, name="plain")
    assert one["final"] == other["final"] != plain["final"]


def test_accumulated_batches_have_draws_of_their_own(
    run_tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Drawn(monkeypatch)
    options = ("trainer.accumulate_grad_batches=2", "max_steps=6")
    run_tiny("technique=mixup", *options, *BATCHES)
    assert len({share for share, _ in drawn.draws}) == len(drawn.draws) > 6


@pytest.mark.slow
def test_samples_are_then_watched_in_a_pass_of_their_own(run_images: Run, tmp_path: Path) -> None:
    run_images("technique=mixup", name="mixed")
    run_images("technique=mixup", "monitor.dynamics.extra_pass=true", name="asked")
    mixed, asked = (load_run(tmp_path / name).dynamics().log for name in ("mixed", "asked"))
    assert mixed.step.tolist() == asked.step.tolist() == [0, 6, 12, 18, 24]
    for epoch in range(5):
        np.testing.assert_array_equal(mixed[epoch].loss, asked[epoch].loss)
    line = "dynamics: training mixes samples"
    assert (tmp_path / "mixed" / "run.log").read_text().count(line) == 1
    assert line not in (tmp_path / "asked" / "run.log").read_text()


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        ("mixup,sample_selection", "mixup cannot be combined with sample_selection, which chooses"),
        ("elr,mixup", "elr cannot be combined with mixup, which mixes samples that have their own"),
        ("mixup,tcr", "tcr cannot be combined with mixup, which mixes samples that have their own"),
    ],
)
def test_what_it_does_not_go_with_is_refused(run_tiny: Run, pair: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        run_tiny(f"technique=[{pair}]")


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.inf, math.nan])
def test_an_alpha_of_no_distribution_is_refused(alpha: float) -> None:
    with pytest.raises(
        InputError, match=f"mixup.alpha must be a number above 0( and finite)?, got {alpha}"
    ):
        Mixup(alpha=alpha)
