"""Checks of parts that the user has written: what a run needs from each kind of part."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelnoise.errors import InputError


def check_kind(name: str, part: Any, kinds: type | tuple[type, ...], wanted: str) -> None:
    """Refuse a part of another kind.

    Args:
        name: the option that chooses the part.
        part: the part.
        kinds: its allowed classes.
        wanted: the allowed kinds in words.

    Raises:
        InputError: names the option and the class of the part.
    """
    if not isinstance(part, kinds):
        raise InputError(f"{name} is a {type(part).__name__}: write {wanted}")


def check_logits(network: nn.Module, input: Float[Tensor, "n ..."], num_classes: int) -> None:
    """Refuse a network that does not map n samples to n x K logits.

    The network and the global random stream stay as they are.

    Raises:
        InputError: the network fails, or its output has another shape; names both shapes.
    """
    name, training = type(network).__name__, network.training
    try:
        with torch.no_grad(), torch.random.fork_rng():
            logits = network.eval()(input)
    except Exception as error:  # the user's own code can raise anything
        shape = tuple(input.shape)
        raise InputError(
            f"the network {name} fails on a batch of shape {shape}: "
            f"{type(error).__name__}: {' '.join(str(error).split())} "
            "(HYDRA_FULL_ERROR=1 shows where)"
        ) from error
    finally:
        network.train(training)
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    expected = (len(input), num_classes)
    if found != expected:
        raise InputError(
            f"the network {name} must return logits of shape {expected} for {len(input)} samples "
            f"of {num_classes} classes, got {found}"
        )
