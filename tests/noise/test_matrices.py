"""Transition matrices and the checks of rates and labels, against loops over every entry."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from labelnoise.errors import InputError
from labelnoise.noise import CIFAR10_CLASSES, CIFAR100_CLASSES
from labelnoise.noise.checks import check_labels, check_rate
from labelnoise.noise.cifar_classes import CIFAR100_SUPERCLASSES
from labelnoise.noise.matrices import (
    asymmetric_matrix,
    class_conditional_matrix,
    pairflip_matrix,
    symmetric_matrix,
    transition_matrix,
)

classes = st.integers(2, 12)
share = st.floats(0, 0.999)  # of the highest rate allowed


def assert_one_line(error: pytest.ExceptionInfo[InputError], *words: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@given(classes, share)
def test_symmetric_matrix_entry_by_entry(num_classes: int, share: float) -> None:
    rate = share * (num_classes - 1) / num_classes
    T = symmetric_matrix(num_classes, rate)
    assert T.dtype == torch.float64
    for i in range(num_classes):
        for j in range(num_classes):
            expected = 1 - rate if i == j else rate / (num_classes - 1)
            assert T[i, j].item() == pytest.approx(expected, abs=1e-15)
        assert T[i].sum().item() == pytest.approx(1, abs=1e-12)
        assert T[i].argmax().item() == i


@given(classes, share)
def test_pairflip_matrix_entry_by_entry(num_classes: int, share: float) -> None:
    rate = share / 2
    T = pairflip_matrix(num_classes, rate)
    for i in range(num_classes):
        expected = [0.0] * num_classes
        expected[i] = 1 - rate
        expected[(i + 1) % num_classes] = rate
        assert T[i].tolist() == expected


@given(st.lists(share, min_size=2, max_size=8))
def test_class_conditional_matrix_entry_by_entry(shares: list[float]) -> None:
    K = len(shares)
    rates = [share * (K - 1) / K for share in shares]
    T = class_conditional_matrix(rates)
    for i in range(K):
        for j in range(K):
            expected = 1 - rates[i] if i == j else rates[i] / (K - 1)
            assert T[i, j].item() == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("order", [CIFAR10_CLASSES, tuple(reversed(CIFAR10_CLASSES))])
def test_asymmetric_matrix_follows_the_names(order: tuple[str, ...]) -> None:
    T = asymmetric_matrix(10, 0.3, order)
    seen = {
        (order[i], order[j]): T[i, j].item()
        for i in range(10)
        for j in range(10)
        if i != j and T[i, j] > 0
    }
    assert seen == {
        ("truck", "automobile"): 0.3,
        ("bird", "airplane"): 0.3,
        ("cat", "dog"): 0.3,
        ("dog", "cat"): 0.3,
        ("deer", "horse"): 0.3,
    }
    assert torch.equal(T.sum(dim=1), torch.ones(10, dtype=torch.float64))


def test_asymmetric_matrix_without_names_is_in_cifar10s_order() -> None:
    assert torch.equal(asymmetric_matrix(10, 0.3), asymmetric_matrix(10, 0.3, CIFAR10_CLASSES))


def test_cifar100s_fine_labels_are_the_published() -> None:
    assert len(set(CIFAR100_CLASSES)) == 100
    # From the data set's own meta file, at places that an alphabet without "_" would move.
    published = {0: "apple", 1: "aquarium_fish", 41: "lawn_mower", 42: "leopard", 46: "man",
                 47: "maple_tree", 58: "pickup_truck", 61: "plate", 83: "sweet_pepper", 92: "tulip",
                 96: "willow_tree", 99: "worm"}  # fmt: skip
    assert {k: CIFAR100_CLASSES[k] for k in published} == published
    assert len(CIFAR100_SUPERCLASSES) == 20
    for five in CIFAR100_SUPERCLASSES.values():
        assert len(five) == 5
        assert list(five) == sorted(five)


@pytest.mark.parametrize("order", [None, tuple(reversed(CIFAR100_CLASSES))])
def test_asymmetric_matrix_of_cifar100_goes_around_each_superclass(
    order: tuple[str, ...] | None,
) -> None:
    T = asymmetric_matrix(100, 0.3, order)
    names = order or CIFAR100_CLASSES
    for five in CIFAR100_SUPERCLASSES.values():
        for place, name in enumerate(five):
            row = T[names.index(name)]
            expected = torch.zeros(100, dtype=torch.float64)
            expected[names.index(name)] = 0.7
            expected[names.index(five[(place + 1) % 5])] = 0.3
            assert torch.equal(row, expected)
    # Not the next fine label, which belongs to another superclass.
    assert asymmetric_matrix(100, 0.3)[0, 1] == 0


@pytest.mark.parametrize(
    ("num_classes", "names"),
    [
        (2, ["cat", "dog"]),
        (10, [str(digit) for digit in range(10)]),
        (10, ["cat"] * 10),
        (100, [str(k) for k in range(100)]),
        (20, None),
        (2, None),
    ],
)
def test_asymmetric_matrix_refuses_other_data(num_classes: int, names: list[str] | None) -> None:
    with pytest.raises(InputError) as error:
        asymmetric_matrix(num_classes, 0.3, names)
    assert_one_line(error, "ten classes of CIFAR-10", f"{num_classes} classes", "noise=pairflip")


@pytest.mark.parametrize(
    ("rate", "num_classes", "words"),
    [
        (float("nan"), 2, ["nan", "finite"]),
        (float("inf"), 10, ["inf", "finite"]),
        ("0.2", 2, ["'0.2'", "number"]),
        (None, 2, ["None", "number"]),
        (True, 10, ["True", "number"]),
        (-0.1, 2, ["-0.1", "negative", "[0, 0.5)"]),
        (0.5, 2, ["0.5", "1/2", "tau_+, tau_- < 1/2", "majority", "reversed"]),
        (0.7, 2, ["0.7", "[0, 0.5)"]),
        (0.9, 10, ["0.9", "9/10", "most likely", "[0, 0.9)"]),
        (2 / 3, 3, ["2/3", "most likely"]),
    ],
)
def test_check_rate_refuses_and_says_why(rate: object, num_classes: int, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        check_rate(rate, num_classes)
    assert_one_line(error, *words)


@pytest.mark.parametrize(("rate", "num_classes"), [(0, 2), (0.4999, 2), (0.8999, 10), (0.66, 3)])
def test_check_rate_returns_what_it_allows(rate: float, num_classes: int) -> None:
    assert check_rate(rate, num_classes) == rate
    assert isinstance(check_rate(rate, num_classes), float)


@pytest.mark.parametrize("build", [pairflip_matrix, asymmetric_matrix])
def test_one_wrong_class_must_not_win_over_the_true_one(
    build: Callable[[int, float], torch.Tensor],
) -> None:
    assert build(10, 0.49).diagonal().min() > 0.5
    with pytest.raises(InputError) as error:
        build(10, 0.5)
    assert_one_line(error, "1/2", "[0, 0.5)")


def test_class_conditional_matrix_names_the_class_at_fault() -> None:
    with pytest.raises(InputError) as error:
        class_conditional_matrix([0.1, 0.1, 0.8])
    assert_one_line(error, "class 2", "0.8")


@pytest.mark.parametrize("num_classes", [1, 0, -3])
def test_noise_needs_two_classes(num_classes: int) -> None:
    with pytest.raises(InputError, match="at least 2 classes"):
        symmetric_matrix(num_classes, 0.0)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=40))
def test_transition_matrix_counts_pairs(pairs: list[tuple[int, int]]) -> None:
    clean = torch.tensor([c for c, _ in pairs], dtype=torch.int64)
    label = torch.tensor([g for _, g in pairs], dtype=torch.int64)
    T = transition_matrix(clean, label, 5)
    for i in range(5):
        members = [given for true, given in pairs if true == i]
        for j in range(5):
            expected = members.count(j) / len(members) if members else float(i == j)
            assert T[i, j].item() == expected


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (torch.tensor([0, 3, 1]), ["1 of 3", "0..2", "3 at position 1"]),
        (torch.tensor([-1, 0]), ["-1 at position 0"]),
        (torch.tensor([0.0, 1.0]), ["float32", "integers 0..2"]),
        (torch.tensor([True]), ["bool"]),
        (torch.tensor([[0], [1]]), ["shape (2, 1)"]),
    ],
)
def test_check_labels_refuses_what_is_no_class(label: torch.Tensor, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        check_labels(label, 3, "clean_label")
    assert_one_line(error, "clean_label", *words)


def test_transition_matrix_refuses_two_lengths() -> None:
    # Where types are checked at run time, the shapes in them refuse it first.
    with pytest.raises((InputError, TypeCheckError)):
        transition_matrix(torch.tensor([0, 0, 1]), torch.tensor([0, 1]), 2)
