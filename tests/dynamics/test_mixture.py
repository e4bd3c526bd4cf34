from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from labelnoise.dynamics.mixture import (
    VARIANCE_FLOOR,
    clipped_losses,
    fit_two_gaussians,
    gmm_gap,
    in_lower_component,
)


@settings(max_examples=8)
@given(
    st.integers(0, 10**6),
    st.floats(0.1, 0.9),
    st.floats(6.0, 12.0),
    st.floats(0.5, 2.0),
    st.sampled_from([300, 5000]),
)
@example(0, 0.109375, 10.0, 2.0, 5000)  # a few values of both heaps are neighbours
def test_it_is_the_mixture_that_sklearn_fits(
    seed: int, share: float, distance: float, width: float, n: int
) -> None:
    """Two clusters at least three deviations apart; 5,000 values are more than the groups."""
    rng = np.random.default_rng(seed)
    upper = rng.random(n) < share
    value = np.where(upper, rng.normal(distance * width, width, n), rng.normal(0, 1, n))
    ours = fit_two_gaussians(value)
    floor = VARIANCE_FLOOR * np.ptp(value) ** 2
    theirs = GaussianMixture(2, random_state=0, tol=1e-9, max_iter=5000, reg_covar=floor).fit(
        value[:, None]
    )
    order = theirs.means_.ravel().argsort()
    spread = value.std()
    np.testing.assert_allclose(ours.mean, theirs.means_.ravel()[order], atol=0.01 * spread)
    np.testing.assert_allclose(ours.weight, theirs.weights_[order], atol=0.01)
    std = np.sqrt(theirs.covariances_.ravel()[order])
    np.testing.assert_allclose(np.sqrt(ours.variance), std, atol=0.02 * spread)


losses = st.lists(st.floats(0, 100, width=32), min_size=2, max_size=60).map(
    lambda values: np.array(values, dtype=np.float32)
)


@given(losses, st.randoms(use_true_random=False))
def test_a_gap_lies_within_the_range_and_knows_no_order(values: np.ndarray, random: object) -> None:
    gap = gmm_gap(values)
    assert 0 <= gap <= float(values.max() - values.min()) + 1e-5
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert gmm_gap(shuffled) == gap


@pytest.mark.parametrize("scale", [0.5, 8.0])
def test_a_gap_is_in_the_unit_of_the_losses(scale: float) -> None:
    rng = np.random.default_rng(0)
    loss = np.concatenate([rng.normal(0.3, 0.1, 800), rng.normal(2.2, 0.4, 200)])
    assert gmm_gap(scale * loss + 3) == pytest.approx(scale * gmm_gap(loss), rel=1e-4)
    assert gmm_gap(loss) == pytest.approx(loss[800:].mean() - loss[:800].mean(), abs=0.02)


def test_losses_without_two_groups() -> None:
    assert gmm_gap(np.full(10, 0.3, dtype=np.float32)) == 0.0
    assert gmm_gap(np.array([0.0] * 9 + [2.0] * 2)) == 2.0
    assert math.isnan(gmm_gap(np.array([0.1, math.nan, 0.2])))
    assert math.isnan(gmm_gap(np.array([0.1])))
    largest = np.array([0.0, 1.0, np.finfo(np.float32).max], dtype=np.float32)
    assert math.isfinite(gmm_gap(largest))  # of a run that diverged


def two_heaps(rate: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Losses of a network between the stages, and a mask of the wrong labels."""
    rng = np.random.default_rng(0)
    noisy = rng.random(n) < rate
    return np.where(noisy, rng.normal(2.2, 0.5, n), rng.gamma(1.0, 0.15, n)).clip(0), noisy


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("outliers", [(), (60.0,), (40.0, 50.0, 60.0, 80.0, 1e4)])
def test_a_few_large_losses_change_neither_the_selection_nor_the_gap(
    rate: float, outliers: tuple[float, ...]
) -> None:
    loss, noisy = two_heaps(rate)
    gap = gmm_gap(loss)
    loss[np.flatnonzero(noisy)[: len(outliers)]] = outliers
    kept = in_lower_component(loss)
    assert (kept == ~noisy).mean() > 0.95
    assert gmm_gap(loss) == pytest.approx(gap, rel=0.03)
    assert kept.tolist() == (loss <= loss[kept].max()).tolist()  # whatever is smaller is kept too


@given(losses)
def test_the_lower_component_is_all_that_lies_below_a_threshold(values: np.ndarray) -> None:
    kept = in_lower_component(values)
    assert kept.any()
    if not kept.all():
        assert values[kept].max() < values[~kept].min()


@given(losses, st.sampled_from([math.nan, math.inf, -math.inf]))
def test_losses_that_are_not_finite_are_in_neither_component(
    values: np.ndarray, other: float
) -> None:
    both = np.append(values, np.float32(other))
    assert in_lower_component(both).tolist() == [*in_lower_component(values).tolist(), False]
    assert not in_lower_component(np.array([other, other])).any()


def test_no_more_than_a_hundredth_is_clipped() -> None:
    loss = np.arange(4000.0)
    assert (clipped_losses(loss) < loss).sum() == 40
    assert clipped_losses(np.array([3.0])).tolist() == [3.0]
