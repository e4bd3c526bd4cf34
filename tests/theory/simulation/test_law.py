"""Products drawn without vectors have the law of those of drawn vectors.

Two-sample Kolmogorov-Smirnov tests at level 1e-4 each, with 4,000 draws on both sides: distribution
functions that differ by 0.07 anywhere are told apart with a probability above 0.99 (by 0.05 with
one of 0.78). One dimension more is a difference of 0.1 in |xi|^2 at d = 9.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor

from labelnoise.data.signal_noise import draw_signal_noise
from labelnoise.errors import InputError
from labelnoise.seeding import stream
from labelnoise.theory.simulation import (
    BatchedDescent,
    Products,
    Setting,
    draw_products,
    geometric_steps,
    products_of,
    simulate,
)
from labelnoise.theory.simulation.measures import held_out_errors, training_measures

DRAWS, LEVEL = 4000, 1e-4
SMALL: dict[str, Any] = {"n": 4, "m": 2, "signal_norm": 3.0, "xi_std": 0.7, "sigma_0": 0.3,
                         "eta": 0.5}  # fmt: skip
RATES: dict[str, Any] = {"tau_plus": 0.3, "tau_minus": 0.1}
TIGHT = Setting(d=9, **RATES, **SMALL)  # 1 + n + 2m: the least where all vectors are independent


def of_vectors(setting: Setting, seed: int) -> Products:
    """The slow way: draw the vectors themselves."""
    generator = stream(seed, "vectors")
    signal = torch.zeros(setting.d, dtype=torch.float64)
    signal[0] = setting.signal_norm
    sample = draw_signal_noise(
        setting.n,
        signal,
        xi_std=setting.xi_std,
        orthogonal=setting.orthogonal,
        generator=generator,
    )
    weight = setting.sigma_0 * torch.randn(
        2, setting.m, setting.d, generator=generator, dtype=torch.float64
    )
    rate = torch.tensor([setting.tau_minus, setting.tau_plus])[sample.clean_label]
    flip = torch.rand(setting.n, generator=generator) < rate
    label = torch.where(flip, 1 - sample.clean_label, sample.clean_label)
    return products_of(signal, sample.noise_patches, weight, sample.clean_label, label)


def both(setting: Setting) -> tuple[Products, Products]:
    ours = draw_products([setting] * DRAWS, range(DRAWS))
    slow = [of_vectors(setting, seed) for seed in range(DRAWS)]
    return ours, Products(*(torch.cat(parts) for parts in zip(*slow, strict=True)))


def measured(products: Products, setting: Setting) -> dict[str, Tensor]:
    """Entries of each kind, and results of training on all of them."""
    run = BatchedDescent(
        products,
        torch.full((DRAWS,), float(setting.m)),
        torch.full((DRAWS,), setting.eta, dtype=torch.float64),
    )
    run.step(20)
    normals = torch.randn(DRAWS, 2 * setting.m, 200, generator=stream(0, "normals")).double()
    errors = held_out_errors(
        run,
        normals,
        torch.full((DRAWS,), setting.xi_std),
        torch.full((DRAWS,), setting.orthogonal),
    )
    found = training_measures(run)
    return {
        "|xi|^2": products.features[:, 0, 0],
        "<xi, xi'>": products.features[:, 0, 1],
        "<xi, mu>": products.features[:, 2, -1],
        "<w, xi>": products.start[:, 0, 3],
        "<w, mu>": products.start[:, 3, -1],
        "|w|^2": products.filters[:, 3, 3],
        "<w, w'>": products.filters[:, 0, 2],
        "sum of all <xi, xi'>": products.features[:, :-1, :-1].sum((1, 2)),
        "sum of all <w, xi>": products.start[..., :-1].sum((1, 2)),
        "y": products.sign.sum(1),
        "wrong labels of y = +1": ((products.sign > 0) & (products.given_sign < 0)).sum(1),
        "wrong labels of y = -1": ((products.sign < 0) & (products.given_sign > 0)).sum(1),
        "gamma": found["gamma_max"],
        "loss": found["loss"],
        "rho_underbar": found["rho_underbar_mean"],
        "test error": errors.mean(1),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        TIGHT,
        Setting(d=5, **RATES, **SMALL),
        Setting(d=2, **RATES, **SMALL),
        Setting(d=9, orthogonal=True, tau_plus=0.2, tau_minus=0.2, **SMALL),
    ],
)
def test_products_have_the_law_of_those_of_vectors(setting: Setting) -> None:
    ours, slow = (measured(products, setting) for products in both(setting))
    for name, values in ours.items():
        if setting.orthogonal and name == "<xi, mu>":
            assert not values.any()
            continue
        p = ks_2samp(values.numpy(), slow[name].numpy()).pvalue
        assert p > LEVEL, f"{name}: p = {p}"


@pytest.mark.slow
def test_the_tests_would_notice_one_dimension_too_many() -> None:
    """At d = 9 a tenth dimension shows in |xi|^2."""
    ours = draw_products([Setting(d=10, **SMALL)] * DRAWS, range(DRAWS))
    slow = draw_products([Setting(d=9, **SMALL)] * DRAWS, range(DRAWS, 2 * DRAWS))
    p = ks_2samp(ours.features[:, 0, 0].numpy(), slow.features[:, 0, 0].numpy()).pvalue
    assert p < LEVEL


def test_noisy_test_labels_are_flipped_at_the_rate_of_their_own_class() -> None:
    """If nearly all labels and predictions are +1, most noisy test labels are predicted."""
    setting = Setting(n=20, d=30, m=4, signal_norm=0.1, eta=0.5, tau_plus=0.0, tau_minus=0.95)
    found = simulate([setting] * 5, range(5), [300], test_samples=500).measures
    assert (abs(found["test_error"] - 0.5) < 0.1).all()
    assert (
        found["test_error_noisy"] < 0.3
    ).all()  # the other class's rates would make it above 0.7


def test_runs_at_rest_are_not_stepped_on() -> None:
    """If the first steps deactivate all filters, 10^6 steps give the result of 100 steps."""
    setting = Setting(n=20, m=10, d=10**12, signal_norm=3.0, eta=0.1)
    found = simulate([setting] * 40, range(40), [100, 101], test_samples=0).measures
    at_rest = np.flatnonzero((found["loss"][0] == found["loss"][1]) & (found["loss"][0] == 0))
    seeds = at_rest.tolist()
    assert len(seeds) > 5
    long = simulate([setting] * len(seeds), seeds, [100, 10**6], test_samples=50).measures
    for name, values in long.items():
        np.testing.assert_array_equal(values[0], values[1], name)


def test_a_run_depends_on_its_setting_and_seed_alone() -> None:
    settings = [Setting(d=d, **SMALL) for d in (9, 50, 10**9)]
    settings.append(Setting(d=50, **{**SMALL, "m": 5}))
    options: dict[str, Any] = {"steps": [0, 3, 10], "test_samples": 50, "dtype": torch.float64}
    together = simulate(settings, [7, 8, 9, 10], **options)
    for i, setting in enumerate(settings):
        alone = simulate([setting], [7 + i], **options)
        for name, values in together.measures.items():
            torch.testing.assert_close(
                torch.from_numpy(values[:, i]),
                torch.from_numpy(alone.measures[name][:, 0]),
                equal_nan=True,
            )


def test_chunks_change_nothing() -> None:
    settings, seeds = [Setting(d=40, **SMALL)] * 30, range(30)
    whole = simulate(settings, seeds, [1, 5], test_samples=20, dtype=torch.float64)
    parts = simulate(
        settings, seeds, [1, 5], test_samples=20, dtype=torch.float64, memory_limit=20_000
    )
    for name, values in whole.measures.items():
        torch.testing.assert_close(
            torch.from_numpy(parts.measures[name]), torch.from_numpy(values), equal_nan=True
        )


def test_geometric_steps_ascend_from_0_to_the_last() -> None:
    for last in (1, 2, 9, 10, 3000):
        steps = geometric_steps(last)
        assert steps[0] == 0 and steps[-1] == last and steps == sorted(set(steps))


@pytest.mark.parametrize(
    ("settings", "seeds", "options", "message"),
    [
        ([TIGHT, Setting(n=5)], [0, 1], {}, r"one n, got \[4, 5\]"),
        ([TIGHT], [0, 1], {}, "1 settings and 2 seeds"),
        ([], [], {}, "0 settings and 0 seeds"),
        ([TIGHT], [0], {"steps": [3, 3]}, r"must ascend from 0 or more, got \[3, 3\]"),
        ([TIGHT], [0], {"memory_limit": 10}, "the memory limit is .* MB: write a larger"),
    ],
)
def test_what_cannot_be_run_is_refused(
    settings: list[Setting], seeds: list[int], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        simulate(settings, seeds, **{"steps": [1], **options})


@pytest.mark.parametrize(
    ("name", "value"), [("n", 0), ("m", 0), ("tau_plus", 1.0), ("eta", 0), ("sigma_0", -1)]
)
def test_numbers_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name} must be .*, got {value}"):
        Setting(**{name: value})
