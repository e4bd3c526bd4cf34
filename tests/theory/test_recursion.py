from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.seeding import stream
from labelnoise.theory.bounds import signal_norm_for
from labelnoise.theory.decomposition import SignalNoiseDecomposition, own_class_mask
from tests.recursion import CoefficientRecursion


def problem(
    n: int, d: int, m: int, *, orthogonal: bool = False, tau: float = 0.2
) -> dict[str, Any]:
    """Signal-noise data in float64, n SNR^2 = 8, and small initial weights."""
    generator = stream(0, "test", "recursion")
    signal = torch.zeros(d, dtype=torch.float64)
    signal[0] = signal_norm_for(8.0, n, 1.0, d)
    noise_patches = torch.randn(n, d, generator=generator, dtype=torch.float64)
    if orthogonal:
        noise_patches[:, 0] = 0.0
    clean_label = torch.randint(2, (n,), generator=generator)
    flip = torch.zeros(n, dtype=torch.bool)
    flip[torch.randperm(n, generator=generator)[: int(tau * n)]] = True
    return {
        "signal": signal,
        "noise_patches": noise_patches,
        "label": torch.where(flip, 1 - clean_label, clean_label),
        "clean_label": clean_label,
        "initial_weight": 0.01 * torch.randn(2, m, d, generator=generator, dtype=torch.float64),
    }


def logits_of(weight: Tensor, data: dict[str, Any]) -> Tensor:
    """The two-layer CNN, as the paper defines it."""
    y = 2.0 * data["clean_label"] - 1
    patches = torch.stack([y[:, None] * data["signal"], data["noise_patches"]], dim=1)
    return torch.einsum("kmd,npd->nkmp", weight, patches).relu().mean(dim=2).sum(dim=2)


def assert_agrees_with_autograd(data: dict[str, Any], learning_rate: float, steps: int) -> None:
    recursion = CoefficientRecursion(**data, learning_rate=learning_rate)
    decomposition = SignalNoiseDecomposition(data["signal"], data["noise_patches"])
    start = data["initial_weight"]
    weight = start.clone().requires_grad_()
    worst = 0.0
    for step in range(steps + 1):
        logits = logits_of(weight, data)
        loss = torch.nn.functional.cross_entropy(logits, data["label"])
        if step % 50 == 0:
            gamma, rho = recursion.coefficients
            found = decomposition.coefficients(weight, start)
            worst = max(
                worst,
                abs(recursion.loss() - loss.item()),
                (recursion.logits() - logits).abs().max().item(),
                (gamma - found.gamma).abs().max().item(),
                (rho - found.rho).abs().max().item(),
            )
        (gradient,) = torch.autograd.grad(loss, weight)
        with torch.no_grad():
            weight -= learning_rate * gradient
        recursion.step()
    assert worst < 1e-9
    # The run must have gone somewhere: all of it agreeing at the start would prove nothing.
    assert gamma.max() > 1 and rho.max() > 1 and rho.min() < -1e-3


@pytest.mark.parametrize("orthogonal", [False, True])
def test_agrees_with_autograd_gradient_descent(orthogonal: bool) -> None:
    assert_agrees_with_autograd(problem(20, 60, 5, orthogonal=orthogonal), 0.05, steps=1000)


@pytest.mark.slow
@pytest.mark.parametrize("orthogonal", [False, True])
def test_agrees_with_autograd_at_the_size_of_the_experiments(orthogonal: bool) -> None:
    assert_agrees_with_autograd(problem(200, 800, 20, orthogonal=orthogonal), 0.05, steps=1000)


def test_weights_rebuilt_by_the_definition_follow_a_run_without_unique_coefficients() -> None:
    data = problem(20, 12, 5)
    recursion = CoefficientRecursion(**data, learning_rate=0.05)
    for _ in range(200):
        recursion.step()
    gamma, rho = recursion.coefficients
    mu, xi = data["signal"], data["noise_patches"]
    weight = data["initial_weight"] + torch.einsum(
        "kmn,nd->kmd", rho, xi / xi.square().sum(1, keepdim=True)
    )
    weight[0] -= gamma[0][:, None] * mu / mu.dot(mu)
    weight[1] += gamma[1][:, None] * mu / mu.dot(mu)
    torch.testing.assert_close(recursion.logits(), logits_of(weight, data), rtol=0, atol=1e-12)


def test_signs_and_places_of_the_coefficients() -> None:
    data = problem(20, 60, 5)
    recursion = CoefficientRecursion(**data, learning_rate=0.05)
    gamma = recursion.gamma
    for _ in range(100):
        before = recursion.rho_bar
        recursion.step()
        assert (recursion.rho_bar >= before).all()
        assert (recursion.rho_underbar <= 0).all()
    rho = recursion.coefficients.rho
    own = own_class_mask(rho, data["label"])
    assert torch.equal(rho.where(own, 0.0), recursion.rho_bar)
    assert torch.equal(rho.where(~own, 0.0), recursion.rho_underbar)
    assert not gamma.any(), "coefficients handed out earlier must stay as they were"


def test_float32_data_are_computed_in_float64() -> None:
    data = problem(20, 60, 5)
    single = {k: v.float() if v.is_floating_point() else v for k, v in data.items()}
    double = {k: v.double() if v.is_floating_point() else v for k, v in single.items()}
    runs = [CoefficientRecursion(**each, learning_rate=0.05) for each in (single, double)]
    for run in runs:
        run.step()
    assert runs[0].gamma.dtype == torch.float64
    assert torch.equal(runs[0].gamma, runs[1].gamma)


def test_a_relu_at_zero_passes_no_gradient_as_in_torch() -> None:
    data = problem(20, 60, 5) | {"initial_weight": torch.zeros(2, 5, 60)}
    recursion = CoefficientRecursion(**data, learning_rate=0.05)
    recursion.step()
    assert not recursion.gamma.any() and not recursion.rho_bar.any()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("label", torch.full((20,), 2), r"label .* values \[2\]"),
        ("clean_label", torch.full((20,), -1), r"clean_label .* values \[-1\]"),
        ("initial_weight", torch.zeros(3, 5, 60), r"must have \(2, m, 60\)"),
        ("signal", torch.zeros(60), "the signal has norm 0"),
        ("learning_rate", 0.0, "learning_rate must be a number above 0"),
        ("learning_rate", float("nan"), "learning_rate must be a number above 0"),
    ],
)
def test_bad_input_is_refused(name: str, value: object, message: str) -> None:
    arguments = problem(20, 60, 5) | {"learning_rate": 0.05, name: value}
    with pytest.raises(InputError, match=message):
        CoefficientRecursion(**arguments)
