from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException

from labelnoise.errors import InputError
from labelnoise.report.loaded import load_run
from labelnoise.techniques import TransitionCorrection
from labelnoise.techniques.transition_correction import estimate_from_anchors
from tests.conftest import Finished, Kill, Run
from tests.techniques.conftest import Step

BATCHES = ("batch_size=6", "optimizer.lr=0.5")
GIVEN = [[0.9, 0.1], [0.3, 0.7]]


def forward_by_hand(z: list[float], y: int, T: list[list[float]]) -> float:
    p = [1 / (1 + math.exp(z[1 - k] - z[k])) for k in (0, 1)]
    return -math.log(T[0][y] * p[0] + T[1][y] * p[1])


def backward_by_hand(z: list[float], y: int, T: list[list[float]]) -> float:
    """By the adjugate: T^-1 = [[d, -b], [-c, a]] / (ad - bc)."""
    losses = [math.log(1 + math.exp(z[1 - k] - z[k])) for k in (0, 1)]
    determinant = T[0][0] * T[1][1] - T[0][1] * T[1][0]
    return (T[1 - y][1 - y] * losses[y] - T[y][1 - y] * losses[1 - y]) / determinant


BY_HAND = {"forward": forward_by_hand, "backward": backward_by_hand}


def mean_by_hand(step: Step, correction: str, T: list[list[float]]) -> float:
    rows = list(zip(step.logits.tolist(), step.batch.label.tolist(), strict=True))
    return sum(BY_HAND[correction](z, y, T) for z, y in rows) / len(rows)


@pytest.mark.parametrize("percentile", [100, 97, 50, 0])
def test_anchors_are_those_of_a_search_by_hand(percentile: float) -> None:
    p = torch.rand(70, 4, generator=torch.Generator().manual_seed(0)).softmax(1)
    expected = []
    for i in range(4):
        ascending = sorted(p.tolist(), key=lambda row: row[i])
        expected.append(ascending[round(69 * percentile / 100)])
    assert estimate_from_anchors(p, percentile).tolist() == expected
    if percentile == 100:
        assert torch.equal(estimate_from_anchors(p).diagonal(), p.amax(0))


@pytest.mark.parametrize("correction", ["forward", "backward"])
def test_a_given_matrix_corrects_every_step(
    run_tiny: Run, steps: list[Step], correction: str
) -> None:
    name = f"{correction}_correction"
    summary = run_tiny(f"technique={name}", f"technique.{name}.matrix={GIVEN}", *BATCHES)
    for step in steps:
        assert step.loss == pytest.approx(mean_by_hand(step, correction, GIVEN), abs=1e-5)
    report = summary["techniques"][name]
    assert report == {"matrix": GIVEN, "estimated_step": None}
    assert summary["oracle_knowledge"] == []


def test_an_anchor_estimate_follows_a_warm_up_on_cross_entropy(
    run_tiny: Run, steps: list[Step]
) -> None:
    options = ("technique.forward_correction.warmup_epochs=5", *BATCHES)
    summary = run_tiny("technique=forward_correction", *options)
    report = summary["techniques"]["forward_correction"]
    assert report["estimated_step"] == 20  # 5 passes of 4 batches
    assert summary["oracle_knowledge"] == []
    identity = [[1.0, 0.0], [0.0, 1.0]]
    for step in steps:
        T = identity if step.number < 20 else report["matrix"]
        assert step.loss == pytest.approx(mean_by_hand(step, "forward", T), abs=1e-4)


def test_the_estimate_is_of_the_network_at_the_end_of_the_warm_up(
    run_tiny: Run, steps: list[Step]
) -> None:
    name = "technique.forward_correction.warmup_epochs"
    full = run_tiny("technique=forward_correction", f"{name}=20", name="full")
    # Full-batch: an epoch is a step, and step 20 begins with the logits of all samples.
    rows = steps[20].plain_logits.double().softmax(1).tolist()
    expected = [max(rows, key=lambda row: row[i]) for i in (0, 1)]
    report = full["techniques"]["forward_correction"]
    assert report["estimated_step"] == 20
    for row, other in zip(report["matrix"], expected, strict=True):
        assert row == pytest.approx(other, abs=2e-6)


def test_the_recorded_matrix_is_told_as_an_oracles(run_tiny: Run) -> None:
    option = "technique.backward_correction.matrix=record"
    summary = run_tiny("technique=backward_correction", option)
    assert summary["oracle_knowledge"] == ["transition matrix"]
    report = summary["techniques"]["backward_correction"]
    assert report["matrix"] == summary["noise"]["transition_matrix"]


@pytest.mark.parametrize("correction", ["forward", "backward"])
def test_the_identity_trains_as_cross_entropy(
    run_tiny: Run, finished_tiny: Finished, correction: str
) -> None:
    name = f"{correction}_correction"
    option = f"technique.{name}.matrix=[[1,0],[0,1]]"
    corrected = run_tiny(f"technique={name}", option)
    plain = load_run(finished_tiny()).summary
    assert corrected["final"] == pytest.approx(plain["final"], abs=1e-5)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("[[1.0]]", r"has shape \(1, 1\); give 2 rows of 2 numbers"),
        ("[[0.9,0.2],[0.1,0.9]]", "row 0 of technique.backward_correction.matrix sums to 1.1"),
        ("[[1.1,-0.1],[0.1,0.9]]", r"matrix\[0\]\[1\] is -0.1; a probability must be at least 0"),
        ("[[0.5,0.5],[0.5,0.5]]", "matrix is singular"),
        ("[[0.5,0.5],[1.0]]", r"must be anchor, record or K rows of K numbers, got \[\[0.5"),
        ("guess", "must be anchor, record or K rows of K numbers, got 'guess'"),
    ],
)
def test_a_matrix_that_is_none_is_refused_before_training(
    run_tiny: Run, tmp_path: Any, matrix: str, message: str
) -> None:
    with pytest.raises((InputError, InstantiationException), match=message):
        run_tiny("technique=backward_correction", f"technique.backward_correction.matrix={matrix}")
    assert not (tmp_path / "run" / "summary.json").exists()


def test_an_estimate_without_an_inverse_is_refused(
    run_tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labelnoise.techniques import transition_correction

    def halves(probability: torch.Tensor, percentile: float) -> torch.Tensor:
        return torch.full((2, 2), 0.5, dtype=torch.float64)

    monkeypatch.setattr(transition_correction, "estimate_from_anchors", halves)
    with pytest.raises(InputError, match="is singular, .* write technique=forward_correction"):
        run_tiny("technique=backward_correction")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"correction": "sideways"}, "correction must be one of forward, backward, got sideways"),
        (
            {"warmup_epochs": 0},
            "forward_correction.warmup_epochs must be a whole number of at least 1, got 0",
        ),
        (
            {"percentile": 101},
            "forward_correction.percentile must be a number from 0 to 100, got 101",
        ),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TransitionCorrection(**options)


def test_the_warm_up_counts_epochs_of_images(run_images: Run) -> None:
    option = "technique.forward_correction.warmup_epochs=2"
    summary = run_images("technique=forward_correction", option, "max_epochs=3")
    assert summary["techniques"]["forward_correction"]["estimated_step"] == 12


@pytest.mark.parametrize("step", [15, 25])
def test_anchors_are_estimated_alike_by_a_run_killed_before_or_after_the_estimate(
    run_tiny: Run, killed_at: Kill, step: int
) -> None:
    options = ["technique=forward_correction", "technique.forward_correction.warmup_epochs=4"]
    options += ["batch_size=6", "checkpoint_every_n_steps=7"]
    whole = run_tiny(*options, name="whole")
    assert whole["techniques"]["forward_correction"]["estimated_step"] == 16
    with killed_at(step):
        run_tiny(*options)
    resumed = run_tiny(*options)
    assert resumed["techniques"] == whole["techniques"]
    assert resumed["final"] == whole["final"]
