"""Every rule against its definition, written out slowly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelnoise.dynamics.measurements import measure
from labelnoise.selection import (
    RULES,
    Evidence,
    Options,
    Records,
    apply_rule,
    other_classes,
    select_keep_rate,
    select_log2,
)
from labelnoise.selection.aum import select_aum
from labelnoise.selection.baselines import select_oracle, select_random
from labelnoise.selection.dynamic_threshold import select_dynamic_threshold
from labelnoise.selection.events import select_wrong_events
from labelnoise.selection.loss import select_gmm
from tests.conftest import present

losses = st.lists(st.floats(0, 50, width=32), min_size=1, max_size=40).map(torch.tensor)
seeds = st.integers(0, 2**31)


@given(losses)
def test_log2_keeps_the_losses_below_log_2(loss: torch.Tensor) -> None:
    assert select_log2(loss).tolist() == [math.exp(-value) > 0.5 for value in loss.tolist()]


@given(losses, st.floats(0, 1))
def test_keep_rate_keeps_that_many_of_the_smallest(loss: torch.Tensor, rate: float) -> None:
    kept = select_keep_rate(loss, rate)
    assert int(kept.sum()) == max(1, round(rate * len(loss)))
    if 0 < kept.sum() < len(loss):
        assert loss[kept].max() <= loss[~kept].min()


def test_gmm_parts_two_heaps_whatever_their_sizes() -> None:
    generator = torch.Generator().manual_seed(0)
    for n_low, n_high in ((90, 10), (30, 70)):
        low = 0.1 + 0.05 * torch.rand(n_low, generator=generator)
        high = 2.0 + 0.5 * torch.rand(n_high, generator=generator)
        loss = torch.cat([low, high])
        assert select_gmm(loss).tolist() == [True] * n_low + [False] * n_high


@given(seeds, st.integers(2, 7), st.integers(1, 12))
def test_dynamic_threshold_is_its_formula(seed: int, epochs: int, n: int) -> None:
    rows = torch.rand(epochs, n, generator=torch.Generator().manual_seed(seed))
    kept, score, noise_rate = select_dynamic_threshold(rows)
    half = epochs // 2
    early = [sum(rows[t, i].item() for t in range(half)) / half for i in range(n)]
    late = [sum(rows[t, i].item() for t in range(epochs - half, epochs)) / half for i in range(n)]
    risen = sum(b >= a for a, b in zip(early, late, strict=True))
    assert noise_rate == pytest.approx(risen / n)
    assert score.tolist() == pytest.approx(late)
    assert set(kept.nonzero()[:, 0].tolist()) == set(
        sorted(range(n), key=late.__getitem__)[: n - risen]
    )


@given(seeds, st.integers(1, 5), st.integers(2, 4))
def test_records_hold_margins_wrong_events_and_losses(seed: int, epochs: int, k: int) -> None:
    """Batches in any order, epoch by epoch, against a loop over samples."""
    generator = torch.Generator().manual_seed(seed)
    n = 7
    label = torch.randint(k, (n,), generator=generator)
    other = other_classes(label, k, generator)
    assert (other != label).all() and other.min() >= 0 and other.max() < k
    records = Records(label, other, keep_losses=True)
    aum, other_aum, wrong = np.zeros(n), np.zeros(n), np.zeros(n)
    rows = []
    for _ in range(epochs):
        logits = torch.randn(n, k, generator=generator)
        for index in torch.randperm(n, generator=generator).split(3):
            records.add(index, logits[index])
        records.end_epoch()
        rows.append(measure(logits, label).loss.tolist())
        for i in range(n):
            z = logits[i].tolist()
            for sums, y in ((aum, int(label[i])), (other_aum, int(other[i]))):
                sums[i] += (z[y] - max(z[c] for c in range(k) if c != y)) / epochs
            wrong[i] += z.index(max(z)) != int(label[i])
    assert records.epochs == epochs
    np.testing.assert_allclose(records.aum, aum, atol=1e-6)
    np.testing.assert_allclose(records.other_aum, other_aum, atol=1e-6)
    np.testing.assert_array_equal(records.wrong_events, wrong)
    np.testing.assert_allclose(records.losses, rows, rtol=1e-6)


@given(seeds, st.sampled_from([1.0, 50.0, 90.0, 99.0, 100.0]))
def test_aum_keeps_what_lies_above_the_percentile(seed: int, percentile: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    aum = torch.randn(30, generator=generator, dtype=torch.float64)
    other = torch.randn(41, generator=generator, dtype=torch.float64)[:30]
    place = percentile / 100 * (len(other) - 1)
    ordered = sorted(other.tolist())
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    threshold = low + (high - low) * (place - math.floor(place))
    assert select_aum(aum, other, percentile).tolist() == [a > threshold for a in aum.tolist()]


@given(st.lists(st.integers(0, 9), min_size=1), st.floats(0, 0.99))
def test_wrong_events_above_the_share_are_dropped(events: list[int], share: float) -> None:
    kept = select_wrong_events(torch.tensor(events, dtype=torch.float64), 9, share)
    assert kept.tolist() == [e <= share * 9 for e in events]


@given(seeds, st.floats(0.01, 1), st.integers(1, 50))
def test_random_keeps_its_share_of_any_samples(seed: int, share: float, n: int) -> None:
    kept, again = (select_random(n, share, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert int(kept.sum()) == max(1, round(share * n)) and torch.equal(kept, again)


def test_random_is_right_as_often_as_labels_are() -> None:
    is_noisy = torch.arange(10_000) < 2_000
    kept = select_random(10_000, 0.8, torch.Generator().manual_seed(0))
    precision = (~is_noisy[kept]).double().mean().item()
    assert precision == pytest.approx(0.8, abs=0.01)


@given(st.lists(st.booleans(), min_size=1).map(torch.tensor))
def test_the_oracle_keeps_just_the_clean_samples(is_noisy: torch.Tensor) -> None:
    kept = select_oracle(is_noisy)
    assert not (kept & is_noisy).any() and (kept | is_noisy).all()


def evidence(seed: int = 0) -> Evidence:
    """Of 60 samples and three classes, where two epochs went for the true labels."""
    generator = torch.Generator().manual_seed(seed)
    clean_label = torch.arange(60) % 3
    is_noisy = torch.arange(60) < 12
    label = torch.where(is_noisy, (clean_label + 1) % 3, clean_label)
    records = Records(label, other_classes(label, 3, generator), keep_losses=True)
    logits = torch.zeros(60, 3)
    for _ in range(4):
        logits = logits + torch.nn.functional.one_hot(clean_label, 3)
        logits = logits + 0.1 * torch.randn(60, 3, generator=generator)
        records.add(torch.arange(60), logits)
        records.end_epoch()
    return Evidence(logits, label, is_noisy, records, step=4)


@pytest.mark.parametrize("rule", [name for name in RULES if name != "random"])
def test_every_rule_finds_what_an_early_network_shows(rule: str) -> None:
    """Noisy samples are predicted as their true class: an easy case, alike for all rules."""
    seen = evidence()
    # Of three classes a class drawn is the true one for a tenth of the samples; below 90 then.
    selection = RULES[rule].select(seen, Options(noise_rate=0.2, percentile=85))
    noisy = present(seen.is_noisy)
    assert torch.equal(selection.kept, ~noisy)
    if selection.noise_rate is not None:
        assert selection.noise_rate == pytest.approx(0.2, abs=0.01)
    if selection.score is not None:
        assert selection.score[noisy].min() > selection.score[~noisy].max()


def test_random_draws_anew_at_every_selection_and_by_the_seed() -> None:
    seen = evidence()
    later = Evidence(seen.logits, seen.label, seen.is_noisy, step=5)
    random = RULES["random"].select
    kept = random(seen, Options(keep_share=0.5)).kept
    assert torch.equal(kept, random(seen, Options(keep_share=0.5)).kept)
    assert not torch.equal(kept, random(later, Options(keep_share=0.5)).kept)
    assert not torch.equal(kept, random(seen, Options(keep_share=0.5, seed=1)).kept)
    assert int(random(seen, Options(noise_rate=0.25)).kept.sum()) == 45


def broken(part: slice | torch.Tensor, value: float, places: tuple[int, ...]) -> Evidence:
    """The easy case above, where the logits of some samples are no numbers, now and before."""
    seen = evidence()
    generator = torch.Generator().manual_seed(0)
    logits = seen.logits.clone()
    logits[part, places[0]] = value
    records = Records(seen.label, other_classes(seen.label, 3, generator), keep_losses=True)
    for epoch in range(1, 5):
        records.add(torch.arange(60), logits * epoch / 4)
        records.end_epoch()
    return Evidence(logits, seen.label, seen.is_noisy, records, step=4)


@pytest.mark.parametrize("rule", [*RULES])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_samples_without_a_finite_loss_are_never_kept(rule: str, value: float, column: int) -> None:
    """Four rules keep the other samples as if those samples did not exist."""
    seen = broken(slice(20, 40), value, (column,))
    kept = apply_rule(rule, seen, Options(noise_rate=0.2, percentile=85)).kept
    assert not kept[20:40].any()
    if rule in ("log2", "gmm", "confident_learning", "oracle"):
        assert kept.tolist() == [12 <= i < 20 or i >= 40 for i in range(60)]
    else:
        assert kept[40:].any()


@pytest.mark.parametrize("rule", [*RULES])
def test_nothing_is_kept_where_no_loss_is_finite(rule: str) -> None:
    seen = broken(slice(None), math.nan, (1,))
    assert not apply_rule(rule, seen, Options()).kept.any()


def test_one_large_loss_among_six_is_no_component_of_its_own() -> None:
    loss = torch.tensor([0.10, 0.12, 0.14, 2.00, 2.02, 30.0])
    assert select_gmm(loss).tolist() == [True] * 3 + [False] * 3
