"""Every loss against its formula, written out sample by sample; a new loss adds to the table."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from labelnoise import losses
from labelnoise.config import CONF_DIR
from labelnoise.errors import InputError
from labelnoise.techniques.dal import dal
from labelnoise.techniques.elr import elr

# Not symmetric, with a zero, and far from singular.
MATRIX = [[0.7, 0.3, 0.0], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]
INVERSE = [[46 / 31, -18 / 31, 3 / 31], [-4 / 31, 42 / 31, -7 / 31], [-14 / 31, -8 / 31, 53 / 31]]
TARGET = [[0.2, 0.3, 0.4], [0.0, 0.9, 0.1], [0.3, 0.3, 0.3]]


def log_softmax(z: list[float]) -> list[float]:
    top = max(z)
    total = math.log(sum(math.exp(value - top) for value in z))
    return [value - top - total for value in z]


def own_ce(z: list[float], y: int) -> float:
    return -log_softmax(z)[y]


def own_probability(z: list[float]) -> list[float]:
    return [math.exp(value) for value in log_softmax(z)]


def own_rce(z: list[float], y: int, log_zero: float) -> float:
    p = own_probability(z)
    return -sum(p[k] * (0.0 if k == y else log_zero) for k in range(len(z)))


def own_nce(z: list[float], y: int) -> float:
    return own_ce(z, y) / sum(own_ce(z, k) for k in range(len(z)))


def own_gce(z: list[float], y: int, q: float) -> float:
    return (1 - own_probability(z)[y] ** q) / q


def own_cross(target: list[float], z: list[float]) -> float:
    return sum(t * own_ce(z, k) for k, t in enumerate(target))


def one_hot(y: int, classes: int) -> list[float]:
    return [float(k == y) for k in range(classes)]


def mixed(weight: float, one: list[float], other: list[float]) -> list[float]:
    return [weight * a + (1 - weight) * b for a, b in zip(one, other, strict=True)]


def own_elr(z: list[float], y: int, strength: float) -> float:
    p = [min(max(value, 1e-4), 1 - 1e-4) for value in own_probability(z)]
    agreement = sum(a * b for a, b in zip(TARGET[y], p, strict=True))
    return own_ce(z, y) + strength * math.log(1 - agreement)


class Entry(NamedTuple):
    """A loss with options, and its formula for one sample in plain Python.

    ``refused`` are options out of range, with what the message says of each.
    """

    function: Callable[..., Tensor]
    options: dict[str, Any]
    formula: Callable[[list[float], int], float]
    refused: tuple[tuple[dict[str, Any], str], ...] = ()


def weights_refused(*names: str) -> tuple[tuple[dict[str, Any], str], ...]:
    return tuple(
        ({name: value}, f"^{name} must be a number of at least 0( and finite)?, got {value}")
        for name in names
        for value in (-0.1, math.inf, math.nan)
    )


LOG_ZERO = tuple(({"log_zero": value}, "log_zero must be a number below 0") for value in (0.0, 4.0))

LOSSES = {
    "ce": Entry(losses.ce, {}, own_ce),
    "mae": Entry(losses.mae, {}, lambda z, y: 1 - own_probability(z)[y]),
    "gce": Entry(
        losses.gce,
        {"q": 0.7},
        lambda z, y: own_gce(z, y, 0.7),
        tuple(
            ({"q": q}, f"q must be a number above 0 and at most 1, got {q}")
            for q in (0.0, -1.0, 1.5)
        ),
    ),
    "sce": Entry(
        losses.sce,
        {"alpha": 0.3, "beta": 0.8, "log_zero": -5.0},
        lambda z, y: 0.3 * own_ce(z, y) + 0.8 * own_rce(z, y, -5.0),
        (*weights_refused("alpha", "beta"), *LOG_ZERO),
    ),
    "nce_rce": Entry(
        losses.nce_rce,
        {"alpha": 2.0, "beta": 0.5, "log_zero": -3.0},
        lambda z, y: 2.0 * own_nce(z, y) + 0.5 * own_rce(z, y, -3.0),
        (*weights_refused("alpha", "beta"), *LOG_ZERO),
    ),
    "label_smoothing": Entry(
        losses.label_smoothing,
        {"epsilon": 0.2},
        lambda z, y: own_cross(mixed(0.8, one_hot(y, len(z)), [1 / len(z)] * len(z)), z),
        tuple(({"epsilon": e}, f"below 1, got {e}") for e in (-0.1, 1.0)),
    ),
    "bootstrapping_soft": Entry(
        losses.bootstrapping_soft,
        {"beta": 0.6},
        lambda z, y: own_cross(mixed(0.6, one_hot(y, len(z)), own_probability(z)), z),
        tuple(({"beta": b}, f"beta must be a number from 0 to 1, got {b}") for b in (-0.1, 1.1)),
    ),
    "bootstrapping_hard": Entry(
        losses.bootstrapping_hard,
        {"beta": 0.6},
        lambda z, y: own_cross(mixed(0.6, one_hot(y, len(z)), one_hot(z.index(max(z)), len(z))), z),
        tuple(({"beta": b}, f"beta must be a number from 0 to 1, got {b}") for b in (-0.1, 1.1)),
    ),
    "forward_correction": Entry(
        losses.forward_correction,
        {"matrix": torch.tensor(MATRIX, dtype=torch.float64)},
        lambda z, y: -math.log(sum(MATRIX[i][y] * p for i, p in enumerate(own_probability(z)))),
    ),
    "backward_correction": Entry(
        losses.backward_correction,
        {"matrix": torch.tensor(MATRIX, dtype=torch.float64)},
        lambda z, y: sum(INVERSE[y][k] * own_ce(z, k) for k in range(3)),
    ),
    # The parts that stateful losses are made of.
    "dal": Entry(
        dal,
        {"q": 1.3, "entropy_weight": 0.4},
        lambda z, y: (
            own_gce(z, y, 1.3) + 0.4 / (1.3 * math.log(3)) * own_cross(own_probability(z), z)
        ),
    ),
    "elr": Entry(
        lambda logits, label: elr(logits, label, torch.tensor(TARGET).to(logits)[label], 3.0),
        {},
        lambda z, y: own_elr(z, y, 3.0),
    ),
}

CLASSES = 3
every_loss = pytest.mark.parametrize("name", list(LOSSES))


def samples(scale: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(40, CLASSES, generator=generator, dtype=torch.float64)
    return logits.to(dtype), torch.randint(CLASSES, (40,), generator=generator)


def extremes(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """All logits from -80, 0 and 80, with every label."""
    values = torch.tensor([-80.0, 0.0, 80.0], dtype=dtype)
    logits = torch.cartesian_prod(values, values, values).repeat_interleave(CLASSES, 0)
    return logits, torch.arange(CLASSES).repeat(27)


def loss_of(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    return partial(LOSSES[name].function, **LOSSES[name].options)


def test_every_loss_that_a_file_names_is_in_the_table() -> None:
    named = {
        path.stem
        for path in (CONF_DIR / "technique").glob("*.yaml")
        for node in OmegaConf.load(path).values()
        if str(node["_target_"]).startswith("labelnoise.losses.")
    }
    assert len(named) >= 8 and named <= LOSSES.keys()


@every_loss
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_it_is_its_formula_for_every_sample(name: str, scale: float) -> None:
    logits, label = samples(scale)
    expected = [
        LOSSES[name].formula(z, y) for z, y in zip(logits.tolist(), label.tolist(), strict=True)
    ]
    assert loss_of(name)(logits, label).tolist() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@every_loss
def test_it_is_its_formula_at_large_logits(name: str) -> None:
    logits, label = extremes(torch.float64)
    expected = [
        LOSSES[name].formula(z, y) for z, y in zip(logits.tolist(), label.tolist(), strict=True)
    ]
    assert loss_of(name)(logits, label).tolist() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_values_and_gradients_are_finite_at_large_logits(name: str, dtype: torch.dtype) -> None:
    logits, label = extremes(dtype)
    logits.requires_grad_()
    value = loss_of(name)(logits, label)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert value.dtype == dtype and value.isfinite().all() and gradient.isfinite().all()


@every_loss
def test_its_gradient_is_that_of_finite_differences(name: str) -> None:
    logits, label = samples(1.0)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss_of(name)(z, label), (logits,))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [(name, *case) for name, entry in LOSSES.items() for case in entry.refused],
)
def test_options_out_of_range_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LOSSES[name].function(*samples(1.0), **options)


IDENTITY = torch.eye(CLASSES, dtype=torch.float64)
ANY_TARGET = torch.full((40, CLASSES), 0.3, dtype=torch.float64)

# Limits in which two losses are equal, each with its tolerance.
LIMITS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], float]] = {
    "gce, q -> 0, is ce": (partial(losses.gce, q=1e-12), losses.ce, 1e-9),
    "gce, q = 1, is mae": (partial(losses.gce, q=1.0), losses.mae, 1e-12),
    "forward by the identity is ce": (
        partial(losses.forward_correction, matrix=IDENTITY), losses.ce, 1e-12,
    ),
    "backward by the identity is ce": (
        partial(losses.backward_correction, matrix=IDENTITY), losses.ce, 1e-12,
    ),
    "dal at its start is gce": (
        partial(dal, q=0.6, entropy_weight=0.0), partial(losses.gce, q=0.6), 0.0,
    ),
    "elr, strength 0, is ce": (partial(elr, target=ANY_TARGET, strength=0.0), losses.ce, 0.0),
    "sce without the reverse is ce": (partial(losses.sce, alpha=1.0, beta=0.0), losses.ce, 0.0),
    "label_smoothing of 0 is ce": (partial(losses.label_smoothing, epsilon=0.0), losses.ce, 1e-12),
    "bootstrapping_soft, beta 1, is ce": (
        partial(losses.bootstrapping_soft, beta=1.0), losses.ce, 0.0,
    ),
    "bootstrapping_hard, beta 1, is ce": (
        partial(losses.bootstrapping_hard, beta=1.0), losses.ce, 0.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("limit", list(LIMITS))
def test_limits(limit: str) -> None:
    one, other, tolerance = LIMITS[limit]
    logits, label = samples(2.0)
    torch.testing.assert_close(
        one(logits, label), other(logits, label), rtol=tolerance, atol=tolerance
    )


def test_soft_bootstrapping_pulls_by_its_own_predictions_too() -> None:
    """With a fixed target the gradient would be beta times the gradient of cross-entropy."""
    logits, label = samples(1.0)
    logits.requires_grad_()
    soft, plain = (
        torch.autograd.grad(function(logits, label).sum(), logits)[0]
        for function in (partial(losses.bootstrapping_soft, beta=0.5), losses.ce)
    )
    p = logits.detach().softmax(1)
    inner = p.log() + losses.bootstrapping_soft(logits.detach(), label, beta=0.0)[:, None]
    torch.testing.assert_close(soft, 0.5 * plain - 0.5 * p * inner)
    assert (soft - 0.5 * plain).abs().max() > 0.05


def test_the_backward_correction_is_clean_in_expectation() -> None:
    logits, label = samples(1.0)
    T = torch.tensor(MATRIX, dtype=torch.float64)
    expectation = sum(
        T[label, j] * losses.backward_correction(logits, torch.full_like(label, j), T)
        for j in range(CLASSES)
    )
    torch.testing.assert_close(expectation, losses.ce(logits, label))


@pytest.mark.parametrize(
    ("rows", "invertible", "message"),
    [
        ([[0.5, 0.5]], False, r"m has shape \(1, 2\); give 2 rows of 2 numbers"),
        ([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], False, r"m has shape \(3, 3\); give 2 rows of 2"),
        ([[0.8, 0.2], [0.3, 0.69]], False, "row 1 of m sums to 0.99; every row must sum to 1"),
        ([[1.0, 0.0], [0.00001, 1.0]], False, "row 1 of m sums to 1.00001; every row must"),
        ([[1.2, -0.2], [0.0, 1.0]], False, r"m\[0\]\[1\] is -0.2; a probability must be at least"),
        ([[math.nan, 1.0], [0.0, 1.0]], False, r"m\[0\]\[0\] is nan; a probability must be"),
        ([[1.0, 0.0], [1.0, 0.0]], False, "column 1 of m is 0: the given label 1 would have"),
        ([[0.5, 0.5], [0.5, 0.5]], True, "m is singular, .* write technique=forward_correction"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(
    rows: list[list[float]], invertible: bool, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        losses.check_transition_matrix(torch.tensor(rows), 2, "m", invertible=invertible)


def test_a_transition_matrix_may_be_rounded_and_is_only_inverted_where_asked() -> None:
    rounded = torch.tensor([[1 / 3, 2 / 3], [0.3333333, 0.6666666]], dtype=torch.float64)
    assert losses.check_transition_matrix(rounded, 2) is not None


@pytest.mark.parametrize("loss", ["sce", "nce_rce"])
def test_the_clamp_of_published_codes_is_a_log_zero_that_can_be_written(loss: str) -> None:
    """Their reverse cross-entropy, from a one-hot label clamped at 1e-4."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(50, 5, generator=generator, dtype=torch.float64)
    label = torch.randint(5, (50,), generator=generator)
    clamped = torch.nn.functional.one_hot(label, 5).double().clamp(min=1e-4)
    theirs = -(logits.softmax(1) * clamped.log()).sum(1)
    ours = getattr(losses, loss)(logits, label, alpha=0.0, beta=1.0, log_zero=math.log(1e-4))
    torch.testing.assert_close(ours, theirs)
    # As the file says it, with two decimals.
    text = (CONF_DIR / "technique" / f"{loss}.yaml").read_text()
    assert f"technique.{loss}.log_zero=-9.21" in text and round(math.log(1e-4), 2) == -9.21
