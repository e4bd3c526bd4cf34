"""Confident learning against loops over samples and classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelnoise.selection.confident_learning import (
    class_thresholds,
    confident_class,
    confident_joint,
    joint_distribution,
    select_confident_learning,
)


def draw(seed: int, n: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return logits.softmax(1), torch.randint(classes, (n,), generator=generator)


def counted(p: np.ndarray, y: list[int], classes: int) -> tuple[np.ndarray, list[int | None]]:
    """The confident joint, and for each sample the class that it is confidently of."""
    n = len(y)
    threshold = []
    for j in range(classes):
        own = [p[i, j] for i in range(n) if y[i] == j]
        threshold.append(sum(own) / len(own) if own else float("inf"))
    joint = np.zeros((classes, classes), dtype=int)
    of: list[int | None] = []
    for i in range(n):
        sure = [j for j in range(classes) if p[i, j] >= threshold[j]]
        of.append(max(sure, key=lambda j: p[i, j]) if sure else None)
        if of[i] is not None:
            joint[y[i], of[i]] += 1
    return joint, of


cases = given(st.integers(0, 2**31), st.integers(1, 40), st.integers(2, 4))


@cases
def test_the_confident_joint_is_counted_by_its_definition(seed: int, n: int, classes: int) -> None:
    probability, label = draw(seed, n, classes)
    expected, of = counted(probability.numpy(), label.tolist(), classes)
    confident = confident_class(probability, class_thresholds(probability, label))
    assert [None if c < 0 else c for c in confident.tolist()] == of
    np.testing.assert_array_equal(confident_joint(label, confident, classes), expected)
    kept, _ = select_confident_learning(probability, label, "confident_joint")
    pairs = zip(label.tolist(), of, strict=True)
    assert kept.tolist() == [c is None or c == y for y, c in pairs]


@cases
def test_the_joint_has_the_given_labels_as_its_margin(seed: int, n: int, classes: int) -> None:
    probability, label = draw(seed, n, classes)
    joint, _ = counted(probability.numpy(), label.tolist(), classes)
    q = joint_distribution(torch.from_numpy(joint), label)
    shares = [label.tolist().count(i) / n for i in range(classes)]
    assert q.sum(1).tolist() == pytest.approx(shares)
    for i in range(classes):
        for j in range(classes):
            total = joint[i].sum()
            share = joint[i, j] / total if total else float(i == j)
            assert q[i, j].item() == pytest.approx(share * shares[i])


@cases
def test_pruning_drops_as_many_as_the_joint_says_of_the_right_order(
    seed: int, n: int, classes: int
) -> None:
    probability, label = draw(seed, n, classes)
    p, y = probability.numpy(), label.tolist()
    joint, _ = counted(p, y, classes)
    q = joint_distribution(torch.from_numpy(joint), label).numpy()
    by_class: set[int] = set()
    by_rate: set[int] = set()
    for i in range(classes):
        given_i = [s for s in range(n) if y[s] == i]
        wrong = round(n * float(q[i].sum() - q[i, i]))
        by_class |= set(sorted(given_i, key=lambda s: p[s, i])[:wrong])
        for j in range(classes):
            if j != i:
                ranked = sorted(given_i, key=lambda s: p[s, i] - p[s, j])
                by_rate |= set(ranked[: round(n * float(q[i, j]))])
    for prune, dropped in (("class", by_class), ("noise_rate", by_rate)):
        kept, noise_rate = select_confident_learning(probability, label, prune)
        assert set((~kept).nonzero()[:, 0].tolist()) == dropped
        assert noise_rate == pytest.approx(1 - float(np.trace(q)))
