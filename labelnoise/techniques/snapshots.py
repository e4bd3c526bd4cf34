"""Snapshots of a network in training: take one, restore all or parts of it, measure distances."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from labelnoise.errors import InputError
from labelnoise.files.label_words import some
from labelnoise.processes.distributed import changing_buffers

MOST_NAMES = 40  # parameter names in one error message


class Snapshot(TypedDict):
    """A snapshot of plain values and tensors, which a checkpoint can store.

    Attributes:
        step: the optimizer step after which it was taken.
        network: parameters and buffers by their names in the network.
        optimizer: the optimizer state by parameter name: the momentum buffer, or Adam's two moments
            and step count. Empty before the first step.
        learning_rates: of every parameter group.
    """

    step: int
    network: dict[str, Tensor]
    optimizer: dict[str, dict[str, Any]]
    learning_rates: list[float]


def names_matching(model: nn.Module, patterns: Sequence[str] | None) -> list[str]:
    """The names of parameters and changing buffers that match a pattern.

    Patterns are shell patterns, for example ``head.*``; None means all names.

    Raises:
        InputError: a pattern matches no name; the message lists the existing names.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        >>> names_matching(model, ["0.*", "*mean"])
        ['0.weight', '0.bias', '1.running_mean']
    """
    names = [name for name, _ in model.named_parameters()] + list(changing_buffers(model))
    if patterns is None:
        return names
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(
                f"the pattern {pattern!r} matches none of the network's parameters: "
                f"{some(names, MOST_NAMES)}"
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def take_snapshot(
    model: nn.Module, optimizer: Optimizer, names: Iterable[str], step: int
) -> Snapshot:
    """Copy the named parameters and buffers, their optimizer state and the learning rates."""
    parts, parameters = _parts(model), dict(model.named_parameters())
    return {
        "step": step,
        "network": {name: parts[name].detach().clone() for name in names},
        "optimizer": {
            name: deepcopy(dict(optimizer.state.get(parameters[name], {})))
            for name in names
            if name in parameters
        },
        "learning_rates": [float(group["lr"]) for group in optimizer.param_groups],
    }


@torch.no_grad()
def put_back(
    model: nn.Module, optimizer: Optimizer, snapshot: Snapshot, learning_rate: bool = True
) -> None:
    """Restore everything in the snapshot; the rest of the network and the optimizer stays.

    Args:
        learning_rate: also restore the learning rates of all parameter groups.

    Example:
        >>> model = nn.Linear(1, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> snapshot = take_snapshot(model, optimizer, ["weight"], step=0)
        >>> before = model.weight.item()
        >>> _ = nn.init.constant_(model.weight, 7.0)
        >>> put_back(model, optimizer, snapshot)
        >>> model.weight.item() == before
        True
    """
    parts = _parts(model)
    for name, value in snapshot["network"].items():
        parts[name].copy_(value)
    names = {parameter: name for name, parameter in model.named_parameters()}
    state = optimizer.state_dict()  # new dictionaries with the optimizer's own tensors
    ordered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for position, parameter in enumerate(ordered):
        kept = snapshot["optimizer"].get(names[parameter])
        if kept:
            state["state"][position] = deepcopy(kept)  # the next step changes it in place
        elif kept is not None:
            state["state"].pop(position, None)
    if learning_rate:
        for group, rate in zip(state["param_groups"], snapshot["learning_rates"], strict=True):
            group["lr"] = rate
    optimizer.load_state_dict(state)  # moves the tensors of a resumed run to the device


@torch.no_grad()
def distance_to(model: nn.Module, snapshot: Snapshot) -> float:
    """The Euclidean distance sqrt(sum_p |p - p_snapshot|^2) over the parameters in the snapshot.

    Buffers do not count.
    """
    squares = [
        (parameter - snapshot["network"][name].to(parameter.device)).double().square().sum()
        for name, parameter in model.named_parameters()
        if name in snapshot["network"]
    ]
    return torch.stack(squares).sum().sqrt().item() if squares else 0.0


def _parts(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **changing_buffers(model)}
