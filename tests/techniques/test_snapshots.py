"""A restored network continues as if the steps in between had not happened."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, Optimizer

from labelnoise.errors import InputError
from labelnoise.techniques.snapshots import distance_to, names_matching, put_back, take_snapshot

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "plain": partial(SGD, lr=0.1),
    "momentum": partial(SGD, lr=0.1, momentum=0.9, nesterov=True),
    "adam": partial(Adam, lr=0.01, weight_decay=1e-3),
    "amsgrad": partial(Adam, lr=0.01, amsgrad=True),
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def descend(model: nn.Module, optimizer: Optimizer, steps: int) -> None:
    """The same batch at every step."""
    generator = torch.Generator().manual_seed(1)
    input = torch.randn(10, 4, generator=generator)
    label = torch.randint(3, (10,), generator=generator)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(input), label).backward()
        optimizer.step()


def all_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize("kind", list(OPTIMIZERS))
@pytest.mark.parametrize("taken_at", [0, 3])
def test_steps_after_a_reset_are_those_after_the_snapshot(kind: str, taken_at: int) -> None:
    """Of a run that never left: weights, batch norm's statistics, momentum, Adam's count."""
    model = network()
    optimizer = OPTIMIZERS[kind](model.parameters())
    descend(model, optimizer, taken_at)
    snapshot = take_snapshot(model, optimizer, names_matching(model, None), taken_at)
    start = all_of(model)
    descend(model, optimizer, 2)
    expected = all_of(model)
    for excursion in (5, 1):  # the second reset finds the snapshot as it was
        descend(model, optimizer, excursion)
        assert not equal(all_of(model), start)
        put_back(model, optimizer, snapshot)
        assert equal(all_of(model), start)
        descend(model, optimizer, 2)
        assert equal(all_of(model), expected)


def test_what_is_not_in_the_snapshot_stays() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    descend(model, optimizer, 2)
    names = names_matching(model, ["3.*", "1.running_*"])
    assert set(names) == {"3.weight", "3.bias", "1.running_mean", "1.running_var"}
    snapshot, before = take_snapshot(model, optimizer, names, 2), all_of(model)
    momentum = {p: optimizer.state[p]["momentum_buffer"].clone() for p in model.parameters()}
    descend(model, optimizer, 3)
    later = all_of(model)
    moved = {p: optimizer.state[p]["momentum_buffer"].clone() for p in model.parameters()}
    put_back(model, optimizer, snapshot)
    for name, value in all_of(model).items():
        assert torch.equal(value, (before if name in names else later)[name]), name
        # Batch norm subtracts the bias before it, so its gradient is 0 but for rounding.
        assert name == "0.bias" or not torch.equal(before[name], later[name])
    for name, p in model.named_parameters():
        expected = (momentum if name in names else moved)[p]
        assert torch.equal(optimizer.state[p]["momentum_buffer"], expected)


@pytest.mark.parametrize("with_rate", [True, False])
def test_the_learning_rate_goes_back_where_that_is_asked(with_rate: bool) -> None:
    """A schedule goes on from the rate it finds: its coming factors act on that one."""
    model = network()
    optimizer = SGD(model.parameters(), lr=0.8)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    snapshot = take_snapshot(model, optimizer, names_matching(model, None), 0)
    rates = []
    for step in range(4):
        descend(model, optimizer, 1)
        schedule.step()
        if step == 2:
            put_back(model, optimizer, snapshot, learning_rate=with_rate)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.4, 0.2, 0.8, 0.4] if with_rate else [0.4, 0.2, 0.1, 0.05])


def test_the_distance_is_of_the_parameters_in_the_snapshot() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    snapshot = take_snapshot(model, optimizer, names_matching(model, ["3.*"]), 0)
    assert distance_to(model, snapshot) == 0.0
    with torch.no_grad():
        model.get_parameter("3.weight").add_(2.0)  # 18 numbers
        model.get_parameter("3.bias").sub_(1.0)  # 3
        model.get_parameter("0.weight").add_(5.0)
        model.get_buffer("1.running_mean").add_(5.0)
    assert distance_to(model, snapshot) == pytest.approx(math.sqrt(18 * 4 + 3))


def test_a_pattern_that_matches_nothing_is_told_the_names() -> None:
    with pytest.raises(InputError, match=r"'4\.\*' matches none .*: 0.weight, 0.bias, 1.weight"):
        names_matching(network(), ["3.*", "4.*"])
    many = nn.ModuleList(nn.Linear(1, 1) for _ in range(30))
    with pytest.raises(InputError, match="19.bias and 20 more$"):
        names_matching(many, ["head"])
