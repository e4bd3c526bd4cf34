from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from labelnoise.errors import InputError
from labelnoise.models import TwoLayerCNN
from labelnoise.models.two_layer_cnn import image_logits, patch_logits


def slow_logits(input: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """F_k(x) = (1/m) sum_r sum_p relu(<w[k, r], x_p>), one inner product at a time."""
    logits = torch.zeros(len(input), len(weight), dtype=input.dtype)
    for i, sample in enumerate(input):
        for k, filters in enumerate(weight):
            for w in filters:
                for patch in sample:
                    logits[i, k] += max(0.0, float(w @ patch)) / len(filters)
    return logits


def windows(image: torch.Tensor, side: int, stride: int) -> torch.Tensor:
    """Every window of an image, flattened: its patches."""
    _, height, width = image.shape
    return torch.stack(
        [
            image[:, top : top + side, left : left + side].flatten()
            for top in range(0, height - side + 1, stride)
            for left in range(0, width - side + 1, stride)
        ]
    )


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_patches_equal_the_formula(generator: torch.Generator) -> None:
    weight = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    input = torch.randn(6, 2, 5, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(patch_logits(input, weight), slow_logits(input, weight))


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (2, 2), (4, 3), (6, 1)])
def test_images_equal_the_formula_on_their_windows(
    side: int, stride: int, generator: torch.Generator
) -> None:
    weight = torch.randn(2, 3, 2, side, side, generator=generator, dtype=torch.float64)
    images = torch.randn(4, 2, 6, 6, generator=generator, dtype=torch.float64)
    patches = torch.stack([windows(image, side, stride) for image in images])
    expected = slow_logits(patches, weight.flatten(2))
    torch.testing.assert_close(image_logits(images, weight, stride), expected)


def test_two_classes_are_the_theorys_network_and_loss(generator: torch.Generator) -> None:
    """Cross-entropy on (F_-1, F_+1) is log(1 + exp(-y f)) with f = F_+1 - F_-1."""
    model = TwoLayerCNN((2, 8), 2, filters=5, sigma_0=1.0)
    input = torch.randn(7, 2, 8, generator=generator)
    label = torch.randint(2, (7,), generator=generator)
    logits = model(input)
    y, f = 2.0 * label - 1, logits[:, 1] - logits[:, 0]
    expected = torch.log1p(torch.exp(-y * f))
    torch.testing.assert_close(F.cross_entropy(logits, label, reduction="none"), expected)


def test_the_order_of_patches_makes_no_difference(generator: torch.Generator) -> None:
    model = TwoLayerCNN((3, 8), 4, filters=5, sigma_0=1.0)
    input = torch.randn(7, 3, 8, generator=generator)
    torch.testing.assert_close(model(input), model(input.flip(1)))


def test_the_start_follows_from_seed_and_sigma_0_alone() -> None:
    global_state = torch.get_rng_state()
    one = TwoLayerCNN((2, 500), 2, filters=50, sigma_0=0.1, seed=5)
    assert torch.equal(torch.get_rng_state(), global_state)
    torch.rand(3)
    again = TwoLayerCNN((2, 500), 2, filters=50, sigma_0=0.1, seed=5)
    other = TwoLayerCNN((2, 500), 2, filters=50, sigma_0=0.1, seed=6)
    assert torch.equal(one.weight, again.weight)
    assert torch.equal(one.weight, one.initial_weight)
    assert not torch.equal(one.weight, other.weight)
    # 50,000 draws: the sample's standard deviation is within 5 of its own standard errors.
    assert one.weight.std().item() == pytest.approx(0.1, rel=5 / (2 * 50_000) ** 0.5)
    assert "initial_weight" not in one.state_dict()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": 0}, "model.filters must be a whole number from 1 to 1,000,000, got 0"),
        ({"stride": 0}, "model.stride must be a whole number of at least 1, got 0"),
        ({"sigma_0": -1.0}, "model.sigma_0 must be a number of at least 0, got -1.0"),
        ({"kernel_size": 33}, "model.kernel_size=33 is larger than the images, 32x32"),
    ],
)
def test_bad_sizes_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TwoLayerCNN((3, 32, 32), 2, **options)
