from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labelnoise.errors import InputError
from labelnoise.report.loaded import load_run
from labelnoise.techniques import NeighbourTrust
from labelnoise.techniques.neighbour_trust import diluted_labels, last_linear, trusted_labels
from tests.conftest import Kill, Run
from tests.parts import Watched

OPTIONS = ("technique=neighbour_trust", "technique.neighbour_trust.warmup_epochs=1")


def slow_dilution(
    embedding: torch.Tensor, label: torch.Tensor, num_classes: int, temperature: float
) -> list[list[float]]:
    rows = []
    for i, z in enumerate(embedding):
        weight = [0.0] * num_classes
        for j, other in enumerate(embedding):
            if j != i:
                cosine = float(z @ other) / float(z.norm() * other.norm())
                weight[int(label[j])] += math.exp(cosine / temperature)
        rows.append([w / sum(weight) for w in weight])
    return rows


@given(st.integers(2, 9), st.integers(0, 99), st.floats(0.05, 5))
def test_dilution_equals_the_formula(b: int, seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(b, 4, generator=generator, dtype=torch.float64)
    label = torch.randint(3, (b,), generator=generator)
    found = diluted_labels(embedding, label, 3, temperature)
    expected = torch.tensor(slow_dilution(embedding, label, 3, temperature), dtype=torch.float64)
    torch.testing.assert_close(found, expected)


def test_a_sample_does_not_vote_for_itself_and_alone_has_its_own_label() -> None:
    embedding = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert diluted_labels(embedding, torch.tensor([0, 1]), 2, 0.1).tolist() == [[0, 1], [1, 0]]
    assert diluted_labels(embedding[:1], torch.tensor([1]), 2, 0.1).tolist() == [[0, 1]]


def test_what_was_not_seen_is_trusted() -> None:
    votes = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.0, 0.0]])
    seen = torch.tensor([True, True, False])
    assert trusted_labels(votes, torch.tensor([0, 1, 1]), seen).tolist() == [True, False, True]


def test_a_wrong_label_among_neighbours_of_one_class_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.arange(60) % 2
    embedding = torch.eye(2)[clean] + 0.2 * torch.randn(60, 2, generator=generator)
    label = clean.clone()
    label[::7] = 1 - label[::7]
    votes = diluted_labels(embedding, label, 2, 0.1)
    seen = torch.ones(60, dtype=torch.bool)
    assert trusted_labels(votes, label, seen).tolist() == (label == clean).tolist()


def test_votes_are_averaged_over_the_epochs_and_weights_follow(
    run_images: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripted: votes of epoch e are (1/2)^e for class 0, so v = 1, then .7 + .3/2, and so on."""
    calls: list[int] = []

    def script(embedding: torch.Tensor, label: torch.Tensor, k: int, t: float) -> torch.Tensor:
        assert embedding.shape == (len(label), 2 * 4) and t == 0.1
        value = 0.5 ** (len(calls) // 6)
        calls.append(len(label))
        return torch.tensor([[value, 1 - value]]).repeat(len(label), 1)

    monkeypatch.setattr("labelnoise.techniques.neighbour_trust.diluted_labels", script)
    made: list[NeighbourTrust] = []
    original = NeighbourTrust.report

    def remember(technique: NeighbourTrust) -> dict[str, Any]:
        made.append(technique)
        return original(technique)

    monkeypatch.setattr(NeighbourTrust, "report", remember)
    summary = run_images(*OPTIONS)
    assert calls[:6] == [10] * 5 + [4] and len(calls) == 24
    v = 1.0
    for epoch in range(1, 4):
        v = 0.7 * v + 0.3 * 0.5**epoch
    votes = made[0].votes
    assert votes is not None
    torch.testing.assert_close(votes[:, 0], torch.full((54,), v))
    report = summary["techniques"]["neighbour_trust"]
    assert (report["first"]["step"], report["last"]["step"]) == (6, 24)


def test_a_selection_of_nothing_is_not_made(
    run_images: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "labelnoise.techniques.neighbour_trust.trusted_labels",
        lambda votes, label, seen: torch.zeros(len(label), dtype=torch.bool),
    )
    summary = run_images(*OPTIONS)
    assert summary["techniques"]["neighbour_trust"]["first"] is None


@pytest.mark.parametrize("step", [8, 17])
def test_a_resumed_run_ends_as_the_uninterrupted_one(
    run_images: Run, killed_at: Kill, step: int
) -> None:
    """Killed within epochs; checkpoints lie at every fifth step."""
    whole = run_images(*OPTIONS, name="whole")
    with killed_at(step):
        run_images(*OPTIONS)
    resumed = run_images(*OPTIONS)
    assert resumed["final"] == whole["final"]
    assert resumed["techniques"] == whole["techniques"]
    assert 0 < whole["techniques"]["neighbour_trust"]["last"]["kept"] < 54


def test_networks_without_an_embedding_are_refused() -> None:
    first, last = nn.Linear(4, 3), nn.Linear(3, 2)
    assert last_linear(nn.Sequential(first, nn.ReLU(), last)) is last
    with pytest.raises(InputError, match="Conv2d has none"):
        last_linear(nn.Conv2d(3, 4, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a number above 0, got 0.0"),
        ({"momentum": 1.0}, r"momentum must be a number from 0 to below 1, got 1.0"),
        ({"warmup_epochs": 0}, "warmup_epochs must be a whole number of at least 1, got 0"),
        ({"every_n_steps": 0}, "every_n_steps must be a whole number of at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        NeighbourTrust(**options)


def test_the_embedding_is_what_enters_the_last_linear_layer(
    run_images: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the training pass is used: evaluations in between keep no embedding."""
    entered, asked = Watched.entered, []
    entered.clear()
    original = diluted_labels

    def remember(embedding: torch.Tensor, *rest: Any) -> torch.Tensor:
        asked.append(embedding)
        return original(embedding, *rest)

    monkeypatch.setattr("labelnoise.techniques.neighbour_trust.diluted_labels", remember)
    run_images(*OPTIONS, "max_epochs=2", "model._target_=tests.parts.Watched")
    assert len(entered) == len(asked) == 12
    for inputs, embedding in zip(entered, asked, strict=True):  # the latter by ascending index
        torch.testing.assert_close(inputs.sort(0).values, embedding.sort(0).values)


def test_on_patches_it_selects_at_the_steps_asked_for(run_tiny: Run, tmp_path: Path) -> None:
    prefix = "technique.neighbour_trust"
    options = (f"{prefix}.start_step=20", f"{prefix}.every_n_steps=15")
    summary = run_tiny("technique=neighbour_trust", *options)
    report = summary["techniques"]["neighbour_trust"]
    assert (report["first"]["step"], report["last"]["step"]) == (20, 50)
    steps, _ = load_run(tmp_path / "run").history.series("selection/precision")
    assert steps.tolist() == [20, 35, 50]


@pytest.mark.slow
def test_two_processes_trust_the_labels_that_one_trusts(run_images: Run) -> None:
    """54 samples in batches of 10, of which each of two processes takes 5."""
    one = run_images(*OPTIONS, "max_epochs=3", name="one")
    two = run_images(
        *OPTIONS, "max_epochs=3", "batch_size=5", "trainer=ddp", "trainer.accelerator=cpu",
        "trainer.devices=2", name="two",
    )  # fmt: skip
    a, b = (run["techniques"]["neighbour_trust"] for run in (one, two))
    for moment in ("first", "last"):
        assert a[moment] == pytest.approx(b[moment], rel=1e-4)
