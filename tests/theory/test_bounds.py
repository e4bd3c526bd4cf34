from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelnoise.errors import InputError
from labelnoise.seeding import stream
from labelnoise.theory import bounds
from tests.recursion import CoefficientRecursion

sizes = st.integers(1, 10_000)
positive = st.floats(1e-3, 1e3)


@given(n=sizes, d=sizes, xi_std=positive, target=positive)
def test_signal_norm_for_inverts_n_snr_squared(
    n: int, d: int, xi_std: float, target: float
) -> None:
    norm = bounds.signal_norm_for(target, n, xi_std, d)
    assert bounds.n_snr_squared(n, norm, xi_std, d) == pytest.approx(target)
    assert n * bounds.snr(norm, xi_std, d) ** 2 == pytest.approx(target)


def test_snr_is_the_ratio_of_the_patches_lengths() -> None:
    xi = 0.7 * torch.randn(200, 900, generator=stream(0, "test"))
    assert bounds.snr(4.2, 0.7, 900) == pytest.approx(4.2 / xi.norm(dim=1).mean().item(), rel=0.01)


def test_the_defaults_of_the_experiments() -> None:
    assert bounds.signal_norm_for(8.0, 200, 1.0, 800) == pytest.approx(5.657, abs=5e-4)
    assert bounds.stage_one_length(200, 20, 0.05, 1.0, 800) == pytest.approx(100)


@given(n=sizes, m=sizes, d=sizes, eta=positive, xi_std=positive)
def test_stage_one_is_as_long_as_one_noise_patch_takes_to_be_learned(
    n: int, m: int, d: int, eta: float, xi_std: float
) -> None:
    # rho_bar gains eta |xi|^2 / (n m) |l'| per step; T1 is the time to order 1 with l' of order 1.
    gain = eta * xi_std**2 * d / (n * m)
    assert bounds.stage_one_length(n, m, eta, xi_std, d) * gain == pytest.approx(1)


@pytest.mark.parametrize("tau", [0.0, 0.2, 0.4])
def test_early_ratio_is_that_of_the_first_step(tau: float) -> None:
    n, d, m = 200, 4000, 10
    generator = stream(0, "test", "early")
    signal = torch.zeros(d)
    signal[0] = bounds.signal_norm_for(8.0, n, 1.0, d)
    clean_label = torch.arange(n) % 2
    flip = torch.arange(n) < tau * n
    run = CoefficientRecursion(
        signal=signal,
        noise_patches=torch.randn(n, d, generator=generator),
        label=torch.where(flip, 1 - clean_label, clean_label),
        clean_label=clean_label,
        initial_weight=1e-4 * torch.randn(2, m, d, generator=generator),
        learning_rate=1e-3,
    )
    run.step()
    learned = run.rho_bar[run.rho_bar > 0]
    ratio = run.gamma.mean() / learned.mean()
    assert ratio.item() == pytest.approx(bounds.early_ratio(8.0, tau), rel=0.02)


def test_error_bounds_by_hand() -> None:
    assert bounds.early_stopping_error_bound(d=600, n=200, C=3.0) == pytest.approx(1 / math.e)
    assert bounds.signal_power(50, 2.0, 0.5, 400) == pytest.approx(32.0)
    assert bounds.stage_two_error_floor(0.4, 0.1) == 0.05
    assert bounds.stage_two_error_floor(0.0, 0.1) == 0.0


def test_error_bounds_fall_with_the_quantities_they_name() -> None:
    early = [bounds.early_stopping_error_bound(d, 200, C=1.0) for d in (200, 800, 2000)]
    assert 1 > early[0] > early[1] > early[2] > 0
    power = [bounds.signal_power(200, norm, 1.0, 800) for norm in (1.0, 2.0, 4.0)]
    assert power[0] < power[1] < power[2]


VALID: dict[Callable[..., float], dict[str, float]] = {
    bounds.snr: {"signal_norm": 1.0, "xi_std": 1.0, "d": 1},
    bounds.n_snr_squared: {"n": 1, "signal_norm": 1.0, "xi_std": 1.0, "d": 1},
    bounds.signal_norm_for: {"n_snr_squared": 1.0, "n": 1, "xi_std": 1.0, "d": 1},
    bounds.stage_one_length: {"n": 1, "m": 1, "eta": 1.0, "xi_std": 1.0, "d": 1},
    bounds.early_ratio: {"n_snr_squared": 1.0},
    bounds.early_stopping_error_bound: {"d": 1, "n": 1, "C": 1.0},
    bounds.signal_power: {"n": 1, "signal_norm": 1.0, "xi_std": 1.0, "d": 1},
}
WRONG_COUNTS = [0, -1]
WRONG_NUMBERS = [0.0, -1.0, math.nan, math.inf]


@pytest.mark.parametrize(("fact", "valid"), VALID.items())
def test_every_argument_must_be_positive_and_finite(
    fact: Callable[..., float], valid: dict[str, float]
) -> None:
    rates = {"tau": 0.2} if fact is bounds.early_ratio else {}
    fact(**valid, **rates)
    for name, right in valid.items():
        for value in WRONG_COUNTS if isinstance(right, int) else WRONG_NUMBERS:
            with pytest.raises(InputError, match=f"^{name} must be a number above"):
                fact(**valid | {name: value}, **rates)


@pytest.mark.parametrize("rate", [-0.1, 0.5, math.nan])
def test_flip_rates_are_below_a_half(rate: float) -> None:
    with pytest.raises(InputError, match="^tau must be a number from 0 to below 0.5"):
        bounds.early_ratio(8.0, rate)
    with pytest.raises(InputError, match="^tau_plus must be"):
        bounds.stage_two_error_floor(rate, 0.2)
    with pytest.raises(InputError, match="^tau_minus must be"):
        bounds.stage_two_error_floor(0.2, rate)
