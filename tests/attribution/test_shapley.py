"""Attributions share out the logit exactly or on average, and depend on their seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from labelnoise.attribution.shapley import METHODS, attribute, incompleteness, logit_difference
from labelnoise.errors import InputError
from labelnoise.models import TwoLayerCNN
from tests.conftest import numpy_state


class Functional(nn.Module):
    """A ReLU that captum cannot see."""

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input)


def network(*between: nn.Module) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        size = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *between)(torch.zeros(1, 3, 8, 8))
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), *between, nn.Flatten(),
            nn.Linear(size.numel(), 6), nn.Tanh(), nn.Linear(6, 3),
        )  # fmt: skip


NETWORKS = {
    "relu": lambda: network(nn.ReLU()),
    "in place": lambda: network(nn.ReLU(inplace=True)),
    "batch norm, dropout": lambda: network(nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)),
    # One hooked module right after another: captum alone is off by as much as the difference.
    "pooled": lambda: network(nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.ReLU()),
    "averaged": lambda: network(nn.ReLU(), nn.AvgPool2d(2)),
}


@pytest.fixture
def images() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    input = torch.randn(4, 3, 8, 8, generator=generator)
    background = torch.randn(12, 3, 8, 8, generator=generator)
    return input, torch.tensor([0, 1, 2, 1]), background


@pytest.mark.parametrize("name", NETWORKS)
def test_deep_lift_adds_up_exactly(name: str, images: tuple[Tensor, Tensor, Tensor]) -> None:
    input, target, background = images
    model = NETWORKS[name]().train()
    maps = attribute(model, input, target, background, method="deep_lift_shap", seeds=range(4))
    model.eval()
    expected = torch.stack(
        [model(x[None])[0, k] - model(background)[:, k].mean() for x, k in zip(input, target)]  # noqa: B905
    )
    assert maps.shape == input.shape
    torch.testing.assert_close(maps.sum((1, 2, 3)), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logit_difference(model, *images), expected)


def test_gradient_shap_adds_up_on_average(images: tuple[Tensor, Tensor, Tensor]) -> None:
    model = network(nn.ReLU())
    difference = logit_difference(model, *images)

    def error(draws: int) -> float:
        maps = attribute(model, *images, method="gradient_shap", seeds=range(4), draws=draws)
        return incompleteness(maps, difference) or 0.0

    assert error(4_000) < 0.05 < error(10)


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_network_is_explained_by_its_weights(
    method: str, images: tuple[Tensor, Tensor, Tensor]
) -> None:
    """Of f = <w, x> + b the Shapley values are w_j (x_j - mean_b x_bj), and nothing else."""
    input, target, background = images
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    maps = attribute(model, input, target, background, method=method, seeds=range(4), draws=4_000)
    weight = model.get_parameter("1.weight").detach()[target].view_as(input)
    expected = weight * (input - background.mean(0))
    atol = 1e-5 if method == "deep_lift_shap" else 5 * weight.max().item() / 4_000**0.5
    torch.testing.assert_close(maps, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_follows_from_its_own_seed(
    method: str, images: tuple[Tensor, Tensor, Tensor]
) -> None:
    input, target, background = images
    model = network(nn.ReLU())
    states = torch.get_rng_state(), numpy_state()
    weights = {name: value.clone() for name, value in model.state_dict().items()}

    def maps(places: list[int], seeds: list[int]) -> Tensor:
        return attribute(
            model, input[places], target[places], background, method=method, seeds=seeds, draws=5
        )

    whole = maps([0, 1, 2, 3], [10, 11, 12, 13])
    np.random.rand(5)
    torch.rand(5)
    assert torch.equal(maps([2, 0], [12, 10]), whole[[2, 0]])
    if method == "gradient_shap":
        assert not torch.equal(maps([0], [11]), whole[[0]])
    np.random.set_state(("MT19937", states[1], 624, 0, 0.0))
    torch.set_rng_state(states[0])
    maps([0], [10])
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (numpy_state() == states[1]).all()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert model.training and all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def reused() -> nn.Module:
    relu = nn.ReLU()
    return network(relu, nn.Conv2d(4, 4, 1), relu)


@pytest.mark.parametrize(
    "model",
    [
        network(Functional()),
        network(nn.ReLU(), nn.MaxPool2d(3, 1)),  # captum loses what overlapping windows share
        reused(),
        TwoLayerCNN((3, 8, 8), 3, kernel_size=3, sigma_0=0.1),
    ],
)
def test_deep_lift_refuses_what_it_cannot_explain(
    model: nn.Module, images: tuple[Tensor, Tensor, Tensor]
) -> None:
    with pytest.raises(InputError, match="deep_lift_shap does not work.*choose gradient_shap") as e:
        attribute(model, *images, method="deep_lift_shap", seeds=range(4))
    assert "\n" not in str(e.value)
    attribute(model, *images, method="gradient_shap", seeds=range(4), draws=2)


def test_a_network_that_knows_nothing_has_empty_maps(images: tuple[Tensor, Tensor, Tensor]) -> None:
    model = TwoLayerCNN((3, 8, 8), 3, sigma_0=0)
    for method in METHODS:
        maps = attribute(model, *images, method=method, seeds=range(4), draws=2)
        assert not maps.any()
    assert incompleteness(maps, logit_difference(model, *images)) is None
