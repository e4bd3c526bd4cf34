"""Shared by the networks for images: check of the input shape, seed of the initial weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from labelnoise.errors import InputError
from labelnoise.seeding import derive_seed


def image_shape(
    input_shape: tuple[int, ...], model: str, smallest: int = 1
) -> tuple[int, int, int]:
    """Return (C, H, W); the poolings of the network need images of side ``smallest``.

    Raises:
        InputError: the samples are patches or rows of features, or the images are too small.

    Example:
        >>> image_shape((3, 32, 32), "vgg11", smallest=32)
        (3, 32, 32)
    """
    if len(input_shape) != 3:
        came = "rows of features" if len(input_shape) == 1 else "patches"
        raise InputError(
            f"model={model} takes images, but these data are {came}: choose model=mlp, "
            "model=linear or model=two_layer_cnn"
        )
    channels, height, width = input_shape
    if min(height, width) < smallest:
        raise InputError(
            f"model={model} needs images of at least {smallest}x{smallest} pixels, got "
            f"{height}x{width}: after its poolings no pixel would be left"
        )
    return channels, height, width


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Inside the block, torch's global CPU stream is ``stream(seed, "init")``; then it is restored.

    Layers draw their initial weights from the global stream. Only the stream of the CPU is seeded:
    ``torch.manual_seed`` would also change the streams of the GPUs, which are not restored.

    Example:
        >>> with initial_weights(seed=0):
        ...     one = torch.nn.Linear(2, 2)
        >>> with initial_weights(seed=0):
        ...     again = torch.nn.Linear(2, 2)
        >>> torch.equal(one.weight, again.weight)
        True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, "init"))
        yield
