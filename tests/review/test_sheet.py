"""The bars and lines of a review page, against slow references."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelnoise.review.sheet import (
    Score,
    Sheet,
    Suspect,
    bars,
    score_of_rank,
    share_below,
    spark,
    top_of,
)

NUMBERS = st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=12)


@given(NUMBERS)
def test_a_bar_is_the_share_of_the_others_below(values: list[float]) -> None:
    n = len(values)
    slow = [
        sum((a < b) + (a == b) / 2 for j, a in enumerate(values) if j != i) / (n - 1)
        for i, b in enumerate(values)
    ]
    np.testing.assert_allclose(share_below(np.array(values)), slow)


def test_a_probability_is_its_own_bar_and_an_unknown_score_has_none() -> None:
    scores = {"x": np.array([1.0, np.nan]), "probability_wrong": np.array([0.25, 1.5])}
    found = bars(scores)
    assert list(found) == ["probability_wrong", "x"]
    assert found["probability_wrong"].tolist() == [0.25, 1.0]
    assert found["x"].tolist() == [0.0, 0.0]


@given(st.lists(st.floats(0, 10) | st.just(math.nan), max_size=150))
def test_a_line_stays_in_its_box_and_goes_to_the_right(losses: list[float]) -> None:
    points = spark(losses, top=5.0)
    across = [x for x, _ in points]
    assert across == sorted(set(across)) and len(points) <= 60
    assert all(0 <= x <= 100 and 0 <= y <= 30 for x, y in points)
    if losses and math.isfinite(losses[0]):
        assert points[0] == (0.0, round(30 * (1 - min(losses[0] / 5, 1)), 2))
    if len(losses) > 1 and math.isfinite(losses[-1]):
        assert points[-1][0] == 100.0


def test_one_extreme_loss_flattens_no_other_line() -> None:
    suspects = [Suspect("s", "a", "b", [Score("aum", 1, 1)], losses=[1.0, 2.0])] * 99
    sheet = Sheet("t", "f", ["a", "b"], [*suspects, Suspect("x", "a", "b", [], [1e6])], 100)
    assert top_of(sheet) < 3
    assert top_of(Sheet("t", "f", ["a"], [Suspect("x", "a", "a", [])], 1)) == 1.0


def test_a_list_in_the_order_of_no_score_has_no_leading_score() -> None:
    scores = {"margin_loss": np.array([1.0, 3.0, 2.0]), "x": np.array([0.0, 1.0, 2.0])}
    assert score_of_rank(scores, np.zeros(3)) is None
    assert score_of_rank(scores, np.array([1.0, 0.0, 0.0])) == "margin_loss"
    assert list(bars({"x": np.zeros(2), "loss": np.ones(2)}, None)) == ["loss", "x"]
