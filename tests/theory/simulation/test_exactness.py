"""The batched runs equal runs of TwoLayerCNN with the same vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from labelnoise.data.signal_noise import draw_signal_noise
from labelnoise.models import TwoLayerCNN
from labelnoise.seeding import stream
from labelnoise.theory import SignalNoiseDecomposition
from labelnoise.theory.simulation import BatchedDescent, Products, products_of
from labelnoise.theory.simulation.measures import held_out_errors, training_measures

N, D, M, ETA = 20, 60, 4, 0.3


class WeightSpace:
    """One run of the project's TwoLayerCNN on weights, in float64."""

    def __init__(self, seed: int, m: int = M, orthogonal: bool = False) -> None:
        generator = stream(seed, "test_exactness")
        signal = torch.zeros(D, dtype=torch.float64)
        signal[0] = 3.0
        sample = draw_signal_noise(
            N, signal, xi_std=1.0, orthogonal=orthogonal, generator=generator
        )
        flip = torch.rand(N, generator=generator) < 0.3
        self.signal, self.sample = signal, sample
        self.label = torch.where(flip, 1 - sample.clean_label, sample.clean_label)
        self.model = TwoLayerCNN((2, D), 2, filters=m, sigma_0=0.1, seed=seed).double()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=ETA)

    def products(self) -> Products:
        return products_of(
            self.signal,
            self.sample.noise_patches,
            self.model.initial_weight,
            self.sample.clean_label,
            self.label,
        )

    def step(self, times: int) -> None:
        for _ in range(times):
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(self.sample.input), self.label).backward()
            self.optimizer.step()


def batched(*runs: WeightSpace) -> BatchedDescent:
    """The same runs at once; those with fewer filters are filled up with zeros."""
    products = [run.products() for run in runs]
    most = max(p.start.shape[1] // 2 for p in products)

    def padded(part: torch.Tensor, dims: int) -> torch.Tensor:
        for dim in range(1, 1 + dims):
            minus, plus = part.chunk(2, dim)
            shape = list(minus.shape)
            shape[dim] = most - shape[dim]
            part = torch.cat([minus, part.new_zeros(shape), plus, part.new_zeros(shape)], dim)
        return part

    whole = Products(
        torch.cat([p.features for p in products]),
        torch.cat([padded(p.start, 1) for p in products]),
        torch.cat([padded(p.filters, 2) for p in products]),
        torch.cat([p.sign for p in products]),
        torch.cat([p.given_sign for p in products]),
    )
    m = torch.tensor([float(p.start.shape[1] // 2) for p in products])
    return BatchedDescent(whole, m, torch.full((len(runs),), ETA, dtype=torch.float64))


@pytest.mark.parametrize("orthogonal", [False, True])
def test_a_thousand_steps_equal_those_of_the_weights(orthogonal: bool) -> None:
    runs = [WeightSpace(0, orthogonal=orthogonal), WeightSpace(1, orthogonal=orthogonal)]
    descent = batched(*runs)
    for _ in range(4):
        descent.step(250)
        for i, run in enumerate(runs):
            run.step(250)
            weight = run.model.weight.detach()
            solved = SignalNoiseDecomposition(run.signal, run.sample.noise_patches).coefficients(
                weight, run.model.initial_weight
            )
            logits = run.model(run.sample.input).detach()
            margin = logits[:, 1] - logits[:, 0]
            torch.testing.assert_close(descent.margin()[i], margin, atol=1e-9, rtol=0)
            torch.testing.assert_close(descent.gamma[i], solved.gamma.flatten(), atol=1e-9, rtol=0)
            torch.testing.assert_close(descent.rho[i], solved.rho.flatten(0, 1), atol=1e-9, rtol=0)
            flat = weight.flatten(0, 1)
            torch.testing.assert_close(
                descent.weight_products()[i], flat @ flat.T, atol=1e-9, rtol=0
            )


def test_runs_with_fewer_filters_are_filled_up_without_a_trace() -> None:
    small, large = WeightSpace(2, m=2), WeightSpace(3, m=5)
    together, alone = batched(small, large), batched(small)
    together.step(100)
    alone.step(100)
    torch.testing.assert_close(together.margin()[:1], alone.margin(), atol=1e-12, rtol=0)
    ours, theirs = training_measures(together), training_measures(alone)
    for name in ours:
        torch.testing.assert_close(ours[name][:1], theirs[name], atol=1e-12, rtol=0)


def test_training_measures_against_a_loop() -> None:
    run = WeightSpace(4)
    descent = batched(run)
    descent.step(40)
    run.step(40)
    found = {name: value.item() for name, value in training_measures(descent).items()}
    solved = SignalNoiseDecomposition(run.signal, run.sample.noise_patches).coefficients(
        run.model.weight.detach(), run.model.initial_weight
    )
    rho, gamma = solved.rho.numpy(), solved.gamma.numpy()
    noisy = (run.label != run.sample.clean_label).numpy()
    label = run.label.numpy()
    own = [[rho[label[i], r, i] for r in range(M)] for i in range(N)]
    other = [[rho[1 - label[i], r, i] for r in range(M)] for i in range(N)]
    fits = (run.model(run.sample.input).argmax(1) == run.label).numpy()
    expected = {
        "gamma_max": gamma.max(),
        "gamma_mean": gamma.mean(),
        "rho_max_clean": rho[:, :, ~noisy].max(),
        "rho_max_noisy": rho[:, :, noisy].max(),
        "rho_bar_mean_clean": np.mean([own[i] for i in range(N) if not noisy[i]]),
        "rho_bar_mean_noisy": np.mean([own[i] for i in range(N) if noisy[i]]),
        "rho_underbar_mean": np.mean(other),
        "acc_clean": fits[~noisy].mean(),
        "acc_noisy": fits[noisy].mean(),
        "memorized_fraction": fits[noisy].mean(),
        "selection_precision": (~noisy)[fits].mean(),
        "selection_recall": fits[~noisy].mean(),
        "loss": F.cross_entropy(run.model(run.sample.input), run.label).item(),
    }
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("orthogonal", [False, True])
def test_held_out_errors_are_those_of_fresh_samples(orthogonal: bool) -> None:
    run = WeightSpace(5, orthogonal=orthogonal)
    descent = batched(run)
    descent.step(30)
    run.step(30)
    count = 200_000
    fresh = draw_signal_noise(
        count, run.signal, xi_std=1.0, orthogonal=orthogonal, generator=stream(0, "fresh")
    )
    wrong = (run.model(fresh.input).argmax(1) != fresh.clean_label).double()
    expected = [wrong[fresh.clean_label == k].mean().item() for k in (0, 1)]
    normals = torch.randn(1, 2 * M, count, generator=stream(1, "fresh"), dtype=torch.float64)
    found = held_out_errors(descent, normals, torch.ones(1), torch.tensor([orthogonal]))[0].tolist()
    assert min(expected) > 0.002
    for ours, share in zip(found, expected, strict=True):
        # Four standard errors of the difference of two shares of 100,000 and 200,000 samples.
        assert ours == pytest.approx(share, abs=4 * (share * (1 - share) * 1.5e-5) ** 0.5)
