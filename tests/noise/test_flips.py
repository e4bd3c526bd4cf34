"""The three ways of drawing labels: exact counts, right targets, one stream, no double flips."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy.stats import truncnorm
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.noise import CIFAR10_CLASSES, flip_labels, flips
from labelnoise.noise.flips import flip_symmetric, instance_dependent_labels, permute_within_classes
from labelnoise.noise.matrices import asymmetric_matrix, class_conditional_matrix


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.integers(0, 4), max_size=60), st.floats(0, 0.79), st.integers(0, 9))
def test_symmetric_flips_an_exact_count_to_other_classes(
    clean: list[int], rate: float, seed: int
) -> None:
    true = torch.tensor(clean, dtype=torch.int64)
    label = flip_symmetric(true, 5, rate, seeded(seed))
    assert sum(g != c for g, c in zip(label.tolist(), clean, strict=True)) == int(rate * len(clean))
    assert all(0 <= g < 5 for g in label.tolist())


def test_symmetric_spreads_evenly_over_samples_and_other_classes() -> None:
    clean = torch.arange(4).repeat(20_000)
    label = flip_symmetric(clean, 4, 0.3, seeded())
    counts = torch.bincount(clean * 4 + label, minlength=16).reshape(4, 4)
    # Each entry is a share of 80,000 draws: five standard deviations of a binomial at 0.3 / 12.
    margin = 5 * math.sqrt(80_000 * 0.025 * 0.975)
    for i in range(4):
        for j in range(4):
            if i != j:
                assert abs(counts[i, j].item() - 2_000) < margin
    assert abs((label != clean)[:40_000].sum().item() - 12_000) < 5 * math.sqrt(80_000 * 0.3 * 0.7)


percent = st.integers(0, 49)


@given(st.lists(st.integers(0, 2), max_size=80), st.tuples(percent, percent, percent))
def test_flip_labels_flips_each_classs_rounded_share(
    clean: list[int], percents: tuple[int, int, int]
) -> None:
    T = class_conditional_matrix([p / 100 for p in percents])
    label = flip_labels(torch.tensor(clean, dtype=torch.int64), T, seeded()).tolist()
    for k in range(3):
        given_to_k = [g for g, c in zip(label, clean, strict=True) if c == k]
        expected = math.floor(Fraction(percents[k], 100) * len(given_to_k) + Fraction(1, 2))
        assert sum(g != k for g in given_to_k) == expected


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.25, 0.35, 0.45])
def test_flip_labels_rounds_a_half_up_in_spite_of_floating_point(rate: float) -> None:
    clean = torch.zeros(10, dtype=torch.int64)
    label = flip_labels(clean, class_conditional_matrix([rate, 0.0]), seeded())
    assert label.sum().item() == round(rate * 10 + 0.5)


def test_flip_labels_draws_targets_from_the_row() -> None:
    T = torch.tensor(
        [[0.6, 0.0, 0.3, 0.1], [0.2, 0.8, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.1, 0.1, 0.1, 0.7]],
        dtype=torch.float64,
    )
    clean = torch.arange(4).repeat_interleave(10_000)
    label = flip_labels(clean, T, seeded())
    for i in range(4):
        shares = torch.bincount(label[clean == i], minlength=4).double() / 10_000
        for j in range(4):
            expected = T[i, j].item()
            assert shares[j].item() == pytest.approx(expected, abs=0.025 if 0 < expected < 1 else 0)


def test_flip_labels_takes_rows_that_sum_to_1_up_to_rounding() -> None:
    T = torch.tensor([[1 - 9e-7, 0.0], [0.0, 1.0]], dtype=torch.float64)
    # Half a flip is missing from the sum, and there is no class that it could go to.
    clean = torch.zeros(600_000, dtype=torch.int64)
    assert torch.equal(flip_labels(clean, T, seeded()), clean)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=60), st.integers(0, 9))
def test_permuting_keeps_every_count(pairs: list[tuple[int, int]], seed: int) -> None:
    clean = torch.tensor([c for c, _ in pairs], dtype=torch.int64)
    label = torch.tensor([g for _, g in pairs], dtype=torch.int64)
    before = label.clone()
    permuted = permute_within_classes(clean, label, 4, seeded(seed))
    assert torch.equal(label, before)
    assert sorted(zip(clean.tolist(), permuted.tolist(), strict=True)) == sorted(pairs)


def test_permuting_gives_each_sample_of_a_class_the_same_chance() -> None:
    clean = torch.tensor([0, 1, 0, 0, 1, 0])
    label = torch.tensor([2, 1, 0, 0, 0, 0])
    times = torch.zeros(6, 3)
    for seed in range(4000):
        times[range(6), permute_within_classes(clean, label, 3, seeded(seed))] += 1
    quarter, half = [0.75, 0.0, 0.25], [0.5, 0.5, 0.0]
    expected = torch.tensor([quarter, half, quarter, quarter, half, quarter])
    assert ((times / 4000 - expected).abs() < 0.04).all()


def test_no_label_is_flipped_twice() -> None:
    clean = torch.arange(10).repeat(100)
    label = flip_labels(clean, asymmetric_matrix(10, 0.45), seeded())
    cat, dog = CIFAR10_CLASSES.index("cat"), CIFAR10_CLASSES.index("dog")
    # Flipping class after class would send some cats to dog and back: fewer than 45 of each.
    assert (label[clean == cat] == dog).sum() == 45
    assert (label[clean == dog] == cat).sum() == 45
    assert (label != clean).sum() == 5 * 45


def flip_three_ways(clean: Tensor, seed: int) -> list[Tensor]:
    features = torch.randn(len(clean), 3, generator=seeded(99))
    return [
        flip_symmetric(clean, 3, 0.4, seeded(seed)),
        flip_labels(clean, class_conditional_matrix([0.4, 0.3, 0.2]), seeded(seed)),
        instance_dependent_labels(features, clean, 3, 0.4, seeded(seed)),
    ]


def test_the_generator_alone_decides() -> None:
    clean = torch.arange(3).repeat(50)
    before = torch.get_rng_state()
    for one, same, other in zip(
        flip_three_ways(clean, 1), flip_three_ways(clean, 1), flip_three_ways(clean, 2), strict=True
    ):
        assert torch.equal(one, same)
        assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_any_integer_labels_will_do_and_stay_as_they_are(dtype: torch.dtype) -> None:
    clean = torch.arange(3).repeat(50)
    narrow = clean.to(dtype)
    for label, expected in zip(flip_three_ways(narrow, 1), flip_three_ways(clean, 1), strict=True):
        assert label.dtype == torch.int64
        assert torch.equal(label, expected)
    assert torch.equal(narrow.long(), torch.arange(3).repeat(50))


@pytest.mark.parametrize(
    ("T", "word"),
    [
        ([[0.5, 0.4], [0.0, 1.0]], "sum to 1"),
        ([[1.5, -0.5], [0.0, 1.0]], "negative"),
        ([[float("nan"), 0.5], [0.0, 1.0]], "sum to 1"),
        ([[0.5, 0.5]], "shape (1, 2)"),
    ],
)
def test_flip_labels_refuses_rows_that_are_no_probabilities(T: list, word: str) -> None:
    with pytest.raises((InputError, TypeCheckError)) as error:
        flip_labels(torch.tensor([0, 1]), torch.tensor(T, dtype=torch.float64), seeded())
    if isinstance(error.value, InputError):
        assert word in str(error.value)


def slow_instance_dependent_labels(
    features: Tensor, clean: list[int], K: int, rate: float, generator: torch.Generator
) -> list[int]:
    """Sample by sample, with the true class at -inf, from the same uniforms."""
    n, F = features.shape
    u_rate = torch.rand(n, dtype=torch.float64, generator=generator).tolist()
    u_flip, u_target = torch.rand(2, n, dtype=torch.float64, generator=generator).tolist()
    W = [torch.randn(F, K, dtype=torch.float64, generator=generator) for _ in range(K)]
    q = truncnorm.ppf(u_rate, (0 - rate) / 0.1, (1 - rate) / 0.1, loc=rate, scale=0.1)
    labels = []
    for i, y in enumerate(clean):
        logits = features[i].double() @ W[y]
        logits[y] = -math.inf
        p = logits.softmax(dim=0) * q[i]
        p[y] = 1 - q[i]
        assert p.sum().item() == pytest.approx(1)
        if u_flip[i] >= 1 - p[y].item():
            labels.append(y)
            continue
        passed = 0.0
        for j in (j for j in range(K) if j != y):
            passed += p[j].item() / q[i]
            if u_target[i] < passed:
                labels.append(j)
                break
    return labels


@pytest.mark.parametrize(("K", "rate"), [(2, 0.4), (3, 0.05), (5, 0.3), (20, 0.94)])
def test_instance_noise_against_the_slow_reference(K: int, rate: float) -> None:
    clean = torch.randint(K, (300,), generator=seeded(3))
    features = torch.randn(300, 2, 3, generator=seeded(4)) / 2
    label = instance_dependent_labels(features, clean, K, rate, seeded(5))
    slow = slow_instance_dependent_labels(features.flatten(1), clean.tolist(), K, rate, seeded(5))
    assert label.tolist() == slow
    assert 0 < (label != clean).sum() < 300


def test_instance_noise_reads_few_samples_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = torch.arange(3).repeat(1_000)
    features = torch.randn(3_000, 4, generator=seeded())
    asked: list[int] = []

    def read(index: Tensor) -> Tensor:
        asked.append(len(index))
        return features[index]

    whole = instance_dependent_labels(features, clean, 3, 0.6, seeded(1))
    assert torch.equal(instance_dependent_labels(read, clean, 3, 0.6, seeded(1)), whole)
    assert max(asked) == flips.PROJECTION_CHUNK
    monkeypatch.setattr(flips, "PROJECTION_CHUNK", 7)
    asked.clear()
    assert torch.equal(instance_dependent_labels(read, clean, 3, 0.6, seeded(1)), whole)
    assert max(asked) == 7


@pytest.mark.parametrize(("rate", "realised"), [(0.0, 0.0), (0.1, 0.1288), (0.4, 0.4)])
def test_instance_noise_realises_the_truncated_rate(rate: float, realised: float) -> None:
    clean = torch.arange(4).repeat(5_000)
    features = torch.randn(20_000, 3, generator=seeded())
    label = instance_dependent_labels(features, clean, 4, rate, seeded(1))
    share = (label != clean).double().mean().item()
    assert share == pytest.approx(realised, abs=0.018 if rate else 0)


def test_instance_noise_of_no_samples_is_no_labels() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert len(instance_dependent_labels(torch.zeros(0, 3), none, 2, 0.2, seeded())) == 0


@pytest.mark.parametrize(
    ("features", "word"),
    [
        (torch.zeros(4, 3, dtype=torch.uint8), "uint8"),
        (torch.full((4, 3), math.nan), "NaN"),
        (torch.zeros(5, 3), "5 samples"),
        (lambda index: torch.zeros(len(index) + 1, 3), "gave"),
    ],
)
def test_instance_noise_refuses_features_it_cannot_project(
    features: Tensor | Callable[[Tensor], Tensor], word: str
) -> None:
    with pytest.raises(InputError, match=word) as error:
        instance_dependent_labels(features, torch.tensor([0, 1, 0, 1]), 2, 0.4, seeded())
    assert "\n" not in str(error.value)
