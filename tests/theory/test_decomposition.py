from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.seeding import stream
from labelnoise.theory.decomposition import (
    Coefficients,
    SignalNoiseDecomposition,
    coefficient_scalars,
)


def patches(n: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = stream(seed, "test", n, d)
    signal = torch.randn(d, generator=generator, dtype=torch.float64)
    return signal, torch.randn(n, d, generator=generator, dtype=torch.float64)


def weights_by_loop(coefficients: Coefficients, start: Tensor, mu: Tensor, xi: Tensor) -> Tensor:
    """The definition, one filter and one sample at a time."""
    gamma, rho = coefficients
    weight = start.clone()
    for k, j in ((0, -1), (1, +1)):
        for r in range(start.shape[1]):
            weight[k, r] += j * gamma[k, r] * mu / mu.dot(mu)
            for i in range(len(xi)):
                weight[k, r] += rho[k, r, i] * xi[i] / xi[i].dot(xi[i])
    return weight


def random_coefficients(m: int, n: int, seed: int = 0) -> Coefficients:
    generator = stream(seed, "test", "coefficients")
    draw = torch.randn(2, m, n + 1, generator=generator, dtype=torch.float64)
    return Coefficients(draw[..., 0], draw[..., 1:])


@settings(max_examples=30)
@given(
    n=st.integers(1, 12),
    spare=st.integers(0, 20),
    m=st.integers(1, 4),
    scale=st.floats(1e-3, 1e3),
    seed=st.integers(0, 100),
)
def test_the_coefficients_of_built_weights_come_back(
    n: int, spare: int, m: int, scale: float, seed: int
) -> None:
    mu, xi = patches(n, n + 1 + spare, seed)
    mu = scale * mu
    start = torch.randn(2, m, n + 1 + spare, generator=stream(seed, "w")).double()
    truth = random_coefficients(m, n, seed)
    weight = weights_by_loop(truth, start, mu, xi)

    decomposition = SignalNoiseDecomposition(mu, xi)
    found = decomposition.coefficients(weight, start)
    # In unit lengths: a coefficient of a vector of length 1000 weighs a thousandth of another one.
    tolerance = 1e-13 * decomposition.condition * max(1.0, scale, 1 / scale) * math.sqrt(n + 1) * 10
    assert torch.allclose(found.gamma, truth.gamma, rtol=0, atol=tolerance)
    assert torch.allclose(found.rho, truth.rho, rtol=0, atol=tolerance)
    rebuilt = decomposition.reconstruct_weights(truth, start)
    assert torch.allclose(rebuilt, weight, rtol=1e-12, atol=1e-12 * max(1, 1 / scale))


@pytest.mark.parametrize(("n", "d"), [(20, 60), (20, 21), (200, 800)])
def test_agrees_with_least_squares(n: int, d: int) -> None:
    mu, xi = patches(n, d)
    moved = torch.randn(2, 3, d, generator=stream(0, "moved"), dtype=torch.float64)
    columns = torch.stack([mu / mu.dot(mu), *(row / row.dot(row) for row in xi)], dim=1)
    expected = torch.linalg.lstsq(columns, moved.reshape(-1, d).T, driver="gelsd").solution
    expected = expected.T.reshape(2, 3, n + 1)

    gamma, rho = SignalNoiseDecomposition(mu, xi).coefficients(1 + moved, torch.ones(2, 3, d))
    sign = torch.tensor([[-1.0], [1.0]])
    torch.testing.assert_close(gamma, sign * expected[..., 0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(rho, expected[..., 1:], rtol=1e-9, atol=1e-9)


def test_the_noise_patches_need_not_be_orthogonal_to_the_signal() -> None:
    mu = torch.tensor([1.0, 0.0, 0.0])
    xi = torch.tensor([[1.0, 1.0, 0.0]])
    start = torch.zeros(2, 1, 3)
    along_patch = torch.tensor([[[0.5, 0.5, 0.0]], [[0.0, 0.0, 0.0]]])
    gamma, rho = SignalNoiseDecomposition(mu, xi).coefficients(along_patch, start)
    torch.testing.assert_close(gamma, torch.zeros(2, 1).double(), rtol=0, atol=1e-15)
    torch.testing.assert_close(rho, torch.tensor([[[1.0]], [[0.0]]]).double(), rtol=0, atol=1e-15)


def test_float32_weights_are_computed_in_float64() -> None:
    mu, xi = patches(20, 60)
    truth = random_coefficients(5, 20)
    start = torch.randn(2, 5, 60, generator=stream(0, "w"))
    weight = torch.nn.Parameter(weights_by_loop(truth, start.double(), mu, xi).float())
    decomposition = SignalNoiseDecomposition(mu, xi)

    found = decomposition.coefficients(weight, start)
    assert found.gamma.dtype == found.rho.dtype == torch.float64
    assert not found.rho.requires_grad
    exact = decomposition.coefficients(weight.detach().double(), start.double())
    assert torch.equal(found.rho, exact.rho) and torch.equal(found.gamma, exact.gamma)
    torch.testing.assert_close(found.rho, truth.rho, rtol=0, atol=1e-5)
    assert 0 < decomposition.residual(weight, start) < 1e-6


def test_residual_is_the_share_of_the_movement_outside_the_span() -> None:
    mu, xi = torch.eye(4)[0], torch.eye(4)[1:3]
    decomposition = SignalNoiseDecomposition(mu, xi)
    start = torch.ones(2, 1, 4)
    weight = start.clone()
    assert decomposition.residual(weight, start) == 0.0
    weight[0, 0, 1] += 3.0
    assert decomposition.residual(weight, start) < 1e-15
    weight[1, 0, 3] += 4.0
    assert decomposition.residual(weight, start) == pytest.approx(4 / 5)
    nothing = Coefficients(torch.zeros(2, 1), torch.zeros(2, 1, 2))
    assert decomposition.residual(weight, start, nothing) == pytest.approx(1.0)


def test_weights_that_did_not_move_have_exactly_zero_coefficients() -> None:
    mu, xi = patches(10, 30)
    start = torch.randn(2, 4, 30, generator=stream(0, "w"))
    gamma, rho = SignalNoiseDecomposition(mu, xi).coefficients(start, start)
    assert not gamma.any() and not rho.any()


def test_too_few_dimensions_are_refused_with_the_reason() -> None:
    with pytest.raises(InputError, match=r"d = 20 with n = 20 .* unique only .* d >= n \+ 1 = 21"):
        SignalNoiseDecomposition(*patches(20, 20))
    SignalNoiseDecomposition(*patches(20, 21))


@pytest.mark.parametrize("almost", [0.0, 1e-6])
def test_repeated_patches_are_refused(almost: float) -> None:
    mu, xi = patches(5, 20)
    xi[3] = xi[1]
    xi[3, 0] += almost
    with pytest.raises(InputError, match="too close to linearly dependent"):
        SignalNoiseDecomposition(mu, xi)


def test_scale_does_not_count_as_dependence() -> None:
    mu, xi = patches(5, 20)
    plain = SignalNoiseDecomposition(mu, xi).condition
    assert SignalNoiseDecomposition(1e-9 * mu, 1e9 * xi).condition == pytest.approx(plain)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_vectors_without_a_direction_are_refused(value: float) -> None:
    mu, xi = patches(5, 20)
    with pytest.raises(InputError, match="the signal has norm"):
        SignalNoiseDecomposition(value * torch.ones(20), xi)
    xi[3] = value
    with pytest.raises(InputError, match="noise patch 3 has norm"):
        SignalNoiseDecomposition(mu, xi)


@pytest.mark.parametrize("shape", [(5, 19), (0, 20), (20,)])
def test_patches_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    # The run-time check of the shapes in the types raises a TypeError.
    with pytest.raises(
        (InputError, TypeError), match=r"must have \(d,\) and \(n, d\)|noise_patches"
    ):
        SignalNoiseDecomposition(torch.ones(20), torch.ones(shape))


@pytest.mark.parametrize("shape", [(3, 4, 30), (1, 4, 30), (2, 4, 29)])
def test_weights_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    decomposition = SignalNoiseDecomposition(*patches(10, 30))
    with pytest.raises(InputError, match=r"must have \(2, m, 30\)"):
        decomposition.coefficients(torch.ones(shape), torch.ones(shape))


def scalars_by_loop(c: Coefficients, label: Tensor, is_noisy: Tensor) -> dict[str, float]:
    m, n = c.rho.shape[1:]
    everywhere = [(k, r, i) for k in range(2) for r in range(m) for i in range(n)]
    bar = {(k, r, i): c.rho[k, r, i].item() for k, r, i in everywhere if label[i] == k}
    clean = [value for (_, _, i), value in bar.items() if not is_noisy[i]]
    noisy = [value for (_, _, i), value in bar.items() if is_noisy[i]]
    nan = float("nan")
    return {
        "gamma_max": max(c.gamma.flatten().tolist()),
        "gamma_mean": sum(c.gamma.flatten().tolist()) / c.gamma.numel(),
        "rho_max": max(bar.values()),
        "rho_max_clean": max(clean, default=nan),
        "rho_max_noisy": max(noisy, default=nan),
        "rho_mean_clean": sum(clean) / len(clean) if clean else nan,
        "rho_mean_noisy": sum(noisy) / len(noisy) if noisy else nan,
        "rho_min": min(c.rho[k, r, i].item() for k, r, i in everywhere if label[i] != k),
    }


@settings(max_examples=30)
@given(
    samples=st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=8),
    seed=st.integers(0, 100),
)
def test_scalars_by_loop(samples: list[tuple[int, bool]], seed: int) -> None:
    coefficients = random_coefficients(3, len(samples), seed)
    label, is_noisy = (torch.tensor(column) for column in zip(*samples, strict=True))
    found = coefficient_scalars(coefficients, label, is_noisy)
    assert found == pytest.approx(scalars_by_loop(coefficients, label, is_noisy), nan_ok=True)
    assert all(type(value) is float for value in found.values())


def test_zeros_of_the_other_class_do_not_hide_negative_rho_bar() -> None:
    coefficients = Coefficients(torch.ones(2, 1), -torch.ones(2, 1, 2))
    found = coefficient_scalars(coefficients, torch.tensor([0, 1]), torch.tensor([False, True]))
    assert found["rho_max"] == found["rho_max_noisy"] == -1.0
