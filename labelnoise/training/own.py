"""Checks of parts that the user has written: what a run needs from each kind of part."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelnoise.errors import InputError
from labelnoise.monitors import Monitor
from labelnoise.techniques import Technique


def check_network(network: Any) -> None:
    """Refuse a network that is not a ``torch.nn.Module``.

    Raises:
        InputError: names the class.
    """
    if not isinstance(network, nn.Module):
        raise InputError(
            f"model is a {type(network).__name__}: write a subclass of torch.nn.Module"
        )


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


def check_monitor(name: str, monitor: Any) -> None:
    """Refuse a monitor that is not a :class:`labelnoise.monitors.Monitor`.

    Raises:
        InputError: names the monitor and its class.
    """
    if not isinstance(monitor, Monitor):
        raise InputError(
            f"monitor.{name} is a {type(monitor).__name__}: write a subclass of "
            "labelnoise.monitors.Monitor"
        )


def check_technique(name: str, technique: Any) -> None:
    """Refuse a technique that is neither a Technique nor a function.

    Raises:
        InputError: names the technique and its class.
    """
    if not isinstance(technique, Technique) and not callable(technique):
        raise InputError(
            f"technique.{name} is a {type(technique).__name__}: write a subclass of "
            "labelnoise.techniques.Technique, or a function of logits and labels"
        )
