"""Co-teaching and JoCoR: the chosen samples of each network, their number and the metrics."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelnoise.attribution.checkpoint import load_trained
from labelnoise.data.batch import Batch
from labelnoise.errors import InputError
from labelnoise.learner.history import History
from labelnoise.seeding import stream
from labelnoise.techniques import CoTeaching, JoCoR
from labelnoise.techniques.co_teaching import exchange
from labelnoise.techniques.jocor import joint_loss
from labelnoise.techniques.two_networks import TwoNetworks, keep_share
from tests.conftest import Kill, Run, but_slow
from tests.learner.test_two_networks import networks

TECHNIQUES = ["co_teaching", "jocor"]


@pytest.mark.parametrize(
    ("epoch", "share"), [(0, 1.0), (1, 0.95), (3, 0.85), (4, 0.8), (5, 0.8), (100, 0.8)]
)
def test_the_share_falls_to_what_is_kept_in_equal_steps(epoch: int, share: float) -> None:
    assert keep_share(epoch, forget_rate=0.2, warmup_epochs=4) == pytest.approx(share)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20),
    st.floats(0, 1),
)
def test_each_network_trains_on_what_is_easiest_to_the_other(
    rows: list[tuple[int, int]], share: float
) -> None:
    kept = exchange(torch.tensor(rows, dtype=torch.float32), share).tolist()
    count = max(1, round(share * len(rows)))
    for network in (0, 1):
        order = sorted(range(len(rows)), key=lambda i: rows[i][1 - network])
        expected = [i in order[:count] for i in range(len(rows))]
        assert [row[network] for row in kept] == expected


@pytest.mark.parametrize("technique", [CoTeaching(0.8), JoCoR(0.8)])
def test_a_batch_of_two_trains_on_one_at_least(technique: TwoNetworks) -> None:
    """A share of 0.2 of two samples rounds to none."""
    terms, _ = rigged(technique, 0.2, n=2)
    assert [int(term.kept.sum()) for term in terms] == [1] * len(terms)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_joint_loss_is_its_formula(weight: float) -> None:
    generator = stream(0, "logits")
    first, second = (torch.randn(6, 4, generator=generator).double() for _ in range(2))
    label = torch.tensor([0, 1, 2, 3, 0, 1])
    for i, loss in enumerate(joint_loss(first, second, label, weight).tolist()):
        p, q = first[i].softmax(0).tolist(), second[i].softmax(0).tolist()
        entropy = -math.log(p[label[i]]) - math.log(q[label[i]])
        one_way = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        other_way = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
        assert loss == pytest.approx((1 - weight) * entropy + weight * (one_way + other_way))


def test_confident_networks_that_disagree_have_a_joint_loss_that_is_finite() -> None:
    first = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = joint_loss(first, -first.detach(), torch.tensor([0]), 0.5)
    loss.sum().backward()
    assert loss.isfinite().all() and first.grad is not None and first.grad.isfinite().all()


def rigged(technique: TwoNetworks, share: float, n: int = 4) -> tuple[list[Any], Batch]:
    """The technique's terms where sample i has loss i to network 1, and n - i to network 2."""
    ease = torch.arange(n, dtype=torch.float64)
    label = torch.zeros(n, dtype=torch.long)
    first, second = torch.stack([-ease, ease], 1), torch.stack([ease - n, n - ease], 1)
    technique.share, technique._is_noisy = share, torch.arange(n) % 2 == 1
    batch = Batch(torch.zeros(n, 1), label, label, torch.arange(n))
    return technique.pair_loss(first, second, batch), batch


def test_the_first_network_trains_on_the_choice_of_the_second() -> None:
    technique = CoTeaching(0.5)
    (one, two), _ = rigged(technique, 0.5)
    assert one.loss.diff().min() > 0 > two.loss.diff().max()  # easy first, hard first
    assert one.kept.tolist() == [False, False, True, True]
    assert two.kept.tolist() == [True, True, False, False]


def test_what_is_counted_is_what_the_first_network_chose() -> None:
    technique = CoTeaching(0.5)
    technique.losses = lambda *_: torch.tensor([[0.0, 3], [9, 2], [1, 1], [8, 0]])  # type: ignore
    rigged(technique, 0.5)
    assert technique.counts.tolist() == [4, 2, 2, 3]  # seen, chosen, clean (0 and 2), alike
    rigged(technique, 0.75)
    assert technique.counts.tolist() == [8, 5, 4, 6]


def test_jocor_trains_both_on_one_choice() -> None:
    first = torch.tensor([[3.0, 0], [0, 0], [0, 3], [9, 0]], requires_grad=True)
    second = torch.tensor([[3.0, 0], [0, 0], [3, 0], [0, 9]], requires_grad=True)
    technique = JoCoR(0.5)
    technique.share, technique._is_noisy = 0.5, torch.zeros(4, dtype=torch.bool)
    label = torch.zeros(4, dtype=torch.long)
    (term,) = technique.pair_loss(first, second, Batch(first, label, label, torch.arange(4)))
    assert term.kept.tolist() == [True, True, False, False]
    (term.loss * term.kept).sum().backward()
    for logits in (first, second):
        assert logits.grad is not None
        assert logits.grad[:2].any(1).all() and not logits.grad[2:].any()
    assert technique.counts[3] == 2  # predicted alike: the first two


def test_an_epoch_is_a_pass_however_long_the_trainers_are(run_tiny: Run, tmp_path: Path) -> None:
    """20 samples in batches of 7 are three steps a pass; all of them are one."""
    options = ("technique=co_teaching", "noise_rate=0.4", "technique.co_teaching.warmup_epochs=4")
    for batch, steps in (("batch_size=7", 3), ("batch_size=null", 1)):
        run_tiny(*options, batch, "log_every_n_steps=1", "max_steps=20", name=f"run_{steps}")
        history = History.read_csv(tmp_path / f"run_{steps}" / "metrics.csv")
        shares = [history.at("selection/keep_share", step) for step in range(1, 21)]
        expected = [1 - min((step // steps) / 4 * 0.4, 0.4) for step in range(20)]
        assert shares == pytest.approx(expected)


def test_epochs_of_images_are_counted_and_measured(run_images: Run, tmp_path: Path) -> None:
    summary = run_images("technique=co_teaching", "technique.co_teaching.warmup_epochs=2")
    history = History.read_csv(tmp_path / "run" / "metrics.csv")
    steps, shares = history.series("selection/keep_share")
    assert steps.tolist() == [6, 12, 18, 24]
    assert shares.tolist() == pytest.approx([1.0, 0.9, 0.8, 0.8])
    _, precision = history.series("selection/precision")
    realised = summary["noise"]["rate_realised"]
    assert precision[0] == pytest.approx(1 - realised, abs=0.02)  # the first epoch keeps all
    _, agreement = history.series("networks/agreement")
    assert ((agreement >= 0) & (agreement <= 1)).all() and agreement[-1] > 0.5
    report = summary["techniques"]["co_teaching"]
    assert report == {
        "forget_rate": 0.2, "forget_rate_from": "the run's noise", "keep_share": 0.8,
        "precision": precision[-1],
    }  # fmt: skip
    assert 0.5 < summary["final"]["test/acc_second"] <= 1
    assert summary["oracle_knowledge"] == ["noise rate"]


@pytest.mark.parametrize(
    ("technique", "step"), but_slow(("co_teaching", 28), ("co_teaching", 45), ("jocor", 45))
)
def test_a_resumed_run_is_the_uninterrupted_one(
    run_tiny: Run, tmp_path: Path, killed_at: Kill, technique: str, step: int
) -> None:
    """Killed between measurements, after checkpoints at 20 and 40; with dropout, which draws."""
    options = [f"technique={technique}", "model._target_=tests.parts.DroppedOut", "batch_size=7"]
    options += ["optimizer=adam", "optimizer.lr=0.01", "log_every_n_steps=15"]
    options += ["monitor=memorization"]
    whole = run_tiny(*options, name="whole")
    with killed_at(step):
        run_tiny(*options)
    resumed = run_tiny(*options)
    for key in ("final", "techniques"):
        assert resumed[key] == whole[key]
    ours, theirs = (networks(tmp_path / name) for name in ("run", "whole"))
    assert ours.keys() == {"model", "second"}
    torch.testing.assert_close(ours, theirs, atol=0, rtol=0)
    csv = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("run", "whole")]
    assert csv[0] == csv[1]


def test_early_stopping_keeps_both_networks_of_its_step(run_tiny: Run, tmp_path: Path) -> None:
    """The networks kept at step 40 are those of a run of 40 steps, each of them."""
    options = ("optimizer.lr=0.5", "noise_rate=0.4", "technique.co_teaching.forget_rate=0.1")
    stop = ("technique=[co_teaching,early_stop]", "technique.early_stop.trigger=val_loss")
    stopped = run_tiny(*options, *stop, "max_steps=200", "technique.early_stop.patience=2")
    step = stopped["techniques"]["early_stop"]["selected_step"]
    assert stopped["status"] == "stopped_early" and 0 < step < stopped["step"]
    run_tiny(*options, "technique=co_teaching", f"max_steps={step}", name="short")
    ours, theirs = (networks(tmp_path / name) for name in ("run", "short"))
    torch.testing.assert_close(ours, theirs, atol=0, rtol=0)


def test_the_first_network_is_what_reports_load(run_images: Run, tmp_path: Path) -> None:
    summary = run_images("technique=jocor", "max_epochs=2")
    run = load_trained(tmp_path / "run")
    torch.testing.assert_close(
        dict(run.classifier.model.state_dict()), networks(tmp_path / "run")["model"]
    )
    acc = run.classifier.measure("train", run.datamodule.train)["train/acc"]
    assert acc == pytest.approx(summary["final"]["train/acc"])


@pytest.mark.slow
def test_it_keeps_to_clean_samples_where_signal_is_learned_first(run_tiny: Run) -> None:
    """With the theory's data the small losses are those of the clean samples, soon for good."""
    options = ("data.n=60", "data.d=300", "model.filters=8", "max_steps=400")
    plain = run_tiny(*options, name="plain")
    assert plain["final"]["train/memorized_fraction"] > 0.8
    for technique in TECHNIQUES:
        summary = run_tiny(*options, f"technique={technique}", name=technique)
        assert summary["techniques"][technique]["precision"] > 0.95
        assert summary["final"]["train/memorized_fraction"] < 0.2


@pytest.mark.parametrize("cls", [CoTeaching, JoCoR])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"forget_rate": 1.0},
            "forget_rate must be a number from 0 to below 1, estimate or null, got 1.0",
        ),
        (
            {"forget_rate": -0.1},
            "forget_rate must be a number from 0 to below 1, estimate or null, got -0.1",
        ),
        (
            {"forget_rate": math.nan},
            "forget_rate must be a number from 0 to below 1, estimate or null, got nan",
        ),
        (
            {"forget_rate": 0.2, "warmup_epochs": 0},
            "warmup_epochs must be a whole number of at least 1, got 0",
        ),
        (
            {"forget_rate": 0.2, "every_n_steps": 0},
            "every_n_steps must be a whole number of at least 1, got 0",
        ),
    ],
)
def test_bad_options_are_refused(cls: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cls(**options)


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match=f"agreement_weight must be .* 0 to 1, got {weight}"):
        JoCoR(0.2, agreement_weight=weight)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ("gce", "gce, which would replace the cross-entropy that selects the samples"),
        ("sample_selection", "sample_selection, which would select samples a second"),
        ("jocor", "co_teaching trains two networks, and so does jocor"),
    ],
)
def test_what_does_not_go_with_it_is_told_why(run_tiny: Run, other: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        run_tiny(f"technique=[co_teaching,{other}]")
