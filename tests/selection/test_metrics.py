from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelnoise.selection import class_metrics, selection_metrics
from tests.conftest import present

rows = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 9)), min_size=1)


@given(rows)
def test_selection_metrics_equal_a_count_by_hand(rows: list[tuple[bool, bool, int]]) -> None:
    kept, noisy, score = (list(column) for column in zip(*rows, strict=True))
    right = sum(k and not z for k, z in zip(kept, noisy, strict=True))
    pairs = [
        (a > b) + (a == b) / 2
        for a, z in zip(score, noisy, strict=True)
        if z
        for b, y in zip(score, noisy, strict=True)
        if not y
    ]
    precision = right / sum(kept) if any(kept) else math.nan
    recall = right / noisy.count(False) if False in noisy else math.nan
    expected = {
        "precision": precision,
        "recall": recall,
        "f1": 2 / (1 / precision + 1 / recall) if right else 0.0,
        "auc": sum(pairs) / len(pairs) if pairs else math.nan,
    }
    metrics = selection_metrics(
        torch.tensor(kept), torch.tensor(score, dtype=torch.float32), torch.tensor(noisy)
    )
    assert metrics == pytest.approx(expected, nan_ok=True)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 2)), min_size=1))
def test_class_metrics_are_those_of_the_samples_of_each_class(
    rows: list[tuple[bool, bool, int]],
) -> None:
    kept, noisy, label = (torch.tensor(column) for column in zip(*rows, strict=True))
    found = class_metrics(kept, label, noisy, 3)
    for c in range(3):
        of = label == c
        alone = selection_metrics(kept[of], torch.zeros(int(of.sum())), noisy[of])
        for name in ("precision", "recall"):
            assert present(found[name])[c] == pytest.approx(alone[name], nan_ok=True)
        assert present(found["kept"])[c] == int(kept[of].sum())
