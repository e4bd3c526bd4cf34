"""What the networks on images share: their inputs are checked, their weights have their stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from labelnoise.errors import InputError
from labelnoise.seeding import derive_seed


def image_shape(
    input_shape: tuple[int, ...], model: str, smallest: int = 1
) -> tuple[int, int, int]:
    """Return (C, H, W), for a network whose poolings need ``smallest`` pixels a side.

    Raises:
        InputError: samples that are patches, or images that are too small.

    Example:
        >>> image_shape((3, 32, 32), "vgg11", smallest=32)
        (3, 32, 32)
    """
    if len(input_shape) != 3:
        raise InputError(
            f"model={model} takes images, this data has patches: choose model=two_layer_cnn"
        )
    channels, height, width = input_shape
    if min(height, width) < smallest:
        raise InputError(
            f"model={model} needs images of at least {smallest}x{smallest} pixels, got "
            f"{height}x{width}: its poolings would leave nothing of them"
        )
    return channels, height, width


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Within the block torch's global CPU stream is ``stream(seed, "init")``; it is put back after.

    Layers draw their initial weights from the global stream, at construction. Only the CPU's is
    seeded: ``torch.manual_seed`` would reach the GPUs' streams too, which are then not put back.

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
