"""VGG, ResNet and the small CNN: sizes, shapes, and where their initial weights come from."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn import functional as F

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import compose
from labelnoise.errors import InputError
from labelnoise.models import VGG, ResNet, SmallCNN
from labelnoise.training.train import train
from tests.conftest import present

IMAGE = (3, 32, 32)
NAMES = sorted(path.stem for path in (CONF_DIR / "model").glob("*.yaml"))
# Everything but the weights: a network of any size is built in no time.
META = torch.device("meta")


def count(model: nn.Module) -> int:
    return sum(weights.numel() for weights in model.parameters())


def from_file(*overrides: str) -> Callable[..., nn.Module]:
    build: Callable[..., nn.Module] = instantiate(compose(["data=cifar10", *overrides]).model)
    return build


# Sizes. Published: VGG-11 28.1M and VGG-16 with batch norm and 100 classes 34.0M on 32x32 images;
# ResNets with the 3x3 stem and 10 classes 11,173,962, 21,282,122 and 23,520,842. The others are
# torchvision's, less its head and with this one.
HEAD = 512 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 10 + 10


@pytest.mark.parametrize(
    ("words", "num_classes", "parameters"),
    [
        (["model=vgg11"], 10, 28_144_010),
        (["model=vgg13"], 10, 9_404_992 + HEAD),
        (["model=vgg16", "model.batch_norm=true"], 100, 34_015_396),
        (["model=vgg19"], 10, 20_024_384 + HEAD),
        (["model=resnet18"], 10, 11_173_962),
        (["model=resnet34"], 10, 21_282_122),
        (["model=resnet50"], 10, 23_520_842),
        (["model=cnn"], 10, 896 + 9_248 + 18_496 + 262_400 + 2_570),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_parameters_are_as_many_as_published(
    words: list[str], num_classes: int, parameters: int
) -> None:
    with META:
        model = from_file(*words)(input_shape=IMAGE, num_classes=num_classes)
    assert count(model) == parameters


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_vggs_convolutions_are_torchvisions(depth: int, batch_norm: bool) -> None:
    with META:
        ours = VGG(IMAGE, 10, depth=depth, batch_norm=batch_norm)
        theirs = getattr(torchvision.models, f"vgg{depth}{'_bn' if batch_norm else ''}")()
    assert repr(ours.features) == repr(theirs.features)
    layers = [layer for layer in ours.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


@pytest.mark.parametrize("name", NAMES)
def test_every_file_builds_a_network_whose_name_is_true(name: str) -> None:
    """A batch of images to as many logits as classes; the depth is that in the name."""
    with META:
        model = from_file(f"model={name}")(input_shape=(3, 40, 48), num_classes=7)
        if name != "two_layer_cnn":  # draws from a generator of the CPU
            assert model(torch.zeros(2, 3, 40, 48)).shape == (2, 7)
    depth = "".join(letter for letter in name if letter.isdigit())
    # A ResNet's shortcuts, of kernel size 1 with BasicBlocks, are not counted among its layers.
    layers = [
        layer
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and "downsample" not in path
    ]
    assert not depth or len(layers) == int(depth)


# Shapes, on real numbers

SMALL: dict[str, Callable[..., nn.Module]] = {
    "vgg": VGG,
    "vgg_batch_norm": lambda *args, **options: VGG(*args, batch_norm=True, **options),
    "resnet": ResNet,
    "cnn": SmallCNN,
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 64, 40)], ids=str)
def test_logits_of_images_of_any_size(name: str, shape: tuple[int, ...]) -> None:
    model = SMALL[name](shape, 4).eval()
    images = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    logits = model(images)
    assert logits.shape == (3, 4) and logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1], atol=0, rtol=1e-4)
    # A sample's logits do not depend on the batch it is evaluated in.
    torch.testing.assert_close(model(images[:1]), logits[:1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("width", [1, 5])
def test_the_small_cnns_formula(width: int) -> None:
    model = SmallCNN((2, 17, 24), 3, width=width)
    images = torch.randn(4, 2, 17, 24, generator=torch.Generator().manual_seed(0))
    weights = list(model.parameters())
    output = images
    for kernel, bias in zip(weights[0:6:2], weights[1:6:2], strict=True):
        output = F.max_pool2d(F.relu(F.conv2d(output, kernel, bias, padding=1)), 2)
    assert output.shape == (4, 2 * width, 2, 3)
    hidden = F.relu(output.flatten(1) @ weights[6].T + weights[7])
    torch.testing.assert_close(model(images), hidden @ weights[8].T + weights[9])


def test_the_small_cnn_takes_few_multiplications() -> None:
    """8 million a 32x32 image at most, so that a CPU trains it in minutes."""
    model, total = SmallCNN(IMAGE, 10), 0

    def add(layer: nn.Module, args: Any, output: Tensor) -> None:
        nonlocal total
        weight = layer.get_parameter("weight")
        total += output.numel() * weight[0].numel()

    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    model(torch.zeros(1, *IMAGE))
    assert 2_000_000 < total < 8_000_000


@pytest.mark.slow
def test_the_small_cnn_memorizes_wrong_labels() -> None:
    """Random labels of random images, which can only be memorized."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(100, 3, 16, 16, generator=generator)
    label = torch.randint(10, (100,), generator=generator)
    model = SmallCNN((3, 16, 16), 10, width=16)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    for _ in range(80):
        loss = F.cross_entropy(model(images), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model(images).argmax(1) == label).double().mean() > 0.95


# Initial weights


@pytest.mark.parametrize("name", ["vgg_batch_norm", "resnet", "cnn"])
def test_the_start_follows_from_the_seed_alone(name: str) -> None:
    state = torch.get_rng_state()
    one = SMALL[name](IMAGE, 2, seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    again, other = SMALL[name](IMAGE, 2, seed=5), SMALL[name](IMAGE, 2, seed=6)
    weights = one.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in again.state_dict().items())
    drawn = [key for key, value in one.named_parameters() if value.ndim > 1]
    assert not any(torch.equal(weights[key], other.state_dict()[key]) for key in drawn)


def close_to(weight: Tensor, std: float) -> None:
    """Mean 0 and this standard deviation, within 5 standard errors of each."""
    n = weight.numel()
    assert weight.mean().item() == pytest.approx(0, abs=5 * std / n**0.5)
    assert weight.std().item() == pytest.approx(std, rel=5 / (2 * n) ** 0.5)


def test_initial_weights_have_the_laws_that_are_stated() -> None:
    vgg = VGG((4, 32, 32), 10)  # four channels: the first layer is not torchvision's
    for layer in vgg.modules():
        if isinstance(layer, nn.Conv2d):
            close_to(layer.weight, math.sqrt(2 / (9 * layer.out_channels)))
            assert not present(layer.bias).any()
        elif isinstance(layer, nn.Linear):
            close_to(layer.weight, 0.01)
            assert not present(layer.bias).any()
    for layer in ResNet((4, 32, 32), 10).modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.out_channels * layer.kernel_size[0] ** 2
            close_to(layer.weight, math.sqrt(2 / fan_out))
    for layer in SmallCNN(IMAGE, 10).modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            output = isinstance(layer, nn.Linear) and layer.out_features == 10
            close_to(layer.weight, 0.01 if output else math.sqrt(2 / layer.weight[0].numel()))
            assert not present(layer.bias).any()


def test_dropout_acts_in_training_alone() -> None:
    image = torch.randn(1, *IMAGE, generator=torch.Generator().manual_seed(0))
    model = VGG(IMAGE, 2, dropout=0.5)
    assert not torch.equal(model(image), model(image))
    assert torch.equal(model.eval()(image), model(image))
    without = VGG(IMAGE, 2, dropout=0.0)
    assert torch.equal(without(image), model(image))


# What is refused


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VGG((2, 800), 2), "model=vgg11 takes images, but these data are patches: choose"),
        (lambda: ResNet((2, 800), 2, depth=50), "model=resnet50 takes images, but these data are"),
        (lambda: SmallCNN((2, 800), 2), "model=cnn takes images, but these data are patches"),
        (lambda: VGG(IMAGE, 2, depth=12), "^model.depth of VGG must be one of 11, 13, 16, 19, "
         "got 12$"),
        (lambda: ResNet(IMAGE, 2, depth=20), "^model.depth of ResNet must be one of 18, 34, 50, "
         "got 20$"),
        (lambda: VGG((3, 32, 31), 2, depth=16), "vgg16 needs images of at least 32x32 .*got 32x31"),
        (lambda: SmallCNN((3, 7, 9), 2), "model=cnn needs images of at least 8x8 pixels, got 7x9"),
        (lambda: SmallCNN(IMAGE, 2, width=0),
         "^model.width must be a whole number from 1 to 4,096, got 0$"),
        (lambda: VGG(IMAGE, 2, dropout=1.0),
         "^model.dropout must be a number from 0 to below 1, got 1.0$"),
        (lambda: VGG(IMAGE, 2, dropout=-0.1),
         "^model.dropout must be a number from 0 to below 1, got -0.1$"),
        (lambda: VGG(IMAGE, 2, dropout=math.nan),
         "^model.dropout must be a number from 0 to below 1, got nan$"),
    ],
)  # fmt: skip
def test_what_a_network_cannot_be_is_refused(build: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        build()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["cnn", "resnet18", "vgg19"])
def test_patches_are_refused_before_training(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"model={name} takes images, but these data are patches"):
        train(compose([f"model={name}"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
