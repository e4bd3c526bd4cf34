from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

from labelnoise.dynamics import fit_two_gaussians, gmm_gap


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
    """Of two heaps at least three deviations apart; 5,000 values are more than it has groups."""
    rng = np.random.default_rng(seed)
    upper = rng.random(n) < share
    value = np.where(upper, rng.normal(distance * width, width, n), rng.normal(0, 1, n))
    ours = fit_two_gaussians(value)
    theirs = GaussianMixture(2, random_state=0, tol=1e-9, max_iter=5000).fit(value[:, None])
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
    assert gmm_gap(loss) == pytest.approx(loss[800:].mean() - loss[:800].mean(), abs=0.005)


def test_losses_without_two_groups() -> None:
    assert gmm_gap(np.full(10, 0.3, dtype=np.float32)) == 0.0
    assert gmm_gap(np.array([0.0] * 9 + [2.0])) == 2.0
    assert math.isnan(gmm_gap(np.array([0.1, math.nan, 0.2])))
    assert math.isnan(gmm_gap(np.array([0.1])))
    largest = np.array([0.0, 1.0, np.finfo(np.float32).max], dtype=np.float32)
    assert math.isfinite(gmm_gap(largest))  # of a run that diverged
