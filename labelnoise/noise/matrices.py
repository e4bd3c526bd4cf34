"""Transition matrices: T[i, j] = P(noisy = j | clean = i), float64, every row sums to 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.noise.checks import check_labels, check_num_classes, check_rate
from labelnoise.noise.cifar_classes import ASYMMETRIC


def symmetric_matrix(num_classes: int, rate: float) -> Float[Tensor, "K K"]:
    """Every wrong class is equally likely: T[i, i] = 1 - rate, else T[i, j] = rate / (K-1).

    Raises:
        InputError: a rate outside [0, (K-1)/K).

    Example:
        >>> symmetric_matrix(3, 0.5)
        tensor([[0.5000, 0.2500, 0.2500],
                [0.2500, 0.5000, 0.2500],
                [0.2500, 0.2500, 0.5000]], dtype=torch.float64)
    """
    check_num_classes(num_classes)
    return class_conditional_matrix([rate] * num_classes)


def class_conditional_matrix(rates: Sequence[float]) -> Float[Tensor, "K K"]:
    """Each class has its own rate, spread evenly over the other classes.

    T[i, i] = 1 - rates[i] and T[i, j] = rates[i] / (K-1) for j != i. With two classes (class 1 is
    y = +1) ``rates`` is (tau_-, tau_+).

    Raises:
        InputError: fewer than two rates, or a rate outside [0, (K-1)/K).

    Example:
        >>> class_conditional_matrix([0.25, 0.0])
        tensor([[0.7500, 0.2500],
                [0.0000, 1.0000]], dtype=torch.float64)
    """
    num_classes = len(rates)
    checked = [
        check_rate(rate, num_classes, name=f"noise rate of class {k}")
        for k, rate in enumerate(rates)
    ]
    check_num_classes(num_classes)
    flip = torch.tensor(checked, dtype=torch.float64)
    matrix = (flip / (num_classes - 1))[:, None].repeat(1, num_classes)
    matrix.diagonal().copy_(1 - flip)
    return matrix


def pairflip_matrix(num_classes: int, rate: float) -> Float[Tensor, "K K"]:
    """A wrong label is always the next class: T[i, (i+1) mod K] = rate, T[i, i] = 1 - rate.

    Raises:
        InputError: a rate outside [0, 1/2).

    Source:
        Co-teaching (B. Han et al., NeurIPS 2018), section 4, "pair flipping".

    Example:
        >>> pairflip_matrix(3, 0.25)
        tensor([[0.7500, 0.2500, 0.0000],
                [0.0000, 0.7500, 0.2500],
                [0.2500, 0.0000, 0.7500]], dtype=torch.float64)
    """
    rate = check_rate(rate, num_classes, wrong_classes=1)
    identity = torch.eye(num_classes, dtype=torch.float64)
    return (1 - rate) * identity + rate * identity.roll(1, dims=1)


def asymmetric_matrix(
    num_classes: int, rate: float, class_names: Sequence[str] | None = None
) -> Float[Tensor, "K K"]:
    """Classes of CIFAR flip to a similar class with probability ``rate``.

    CIFAR-10: truck->automobile, bird->airplane, cat<->dog, deer->horse. The other five classes
    never flip, so with balanced classes the realised rate is ``rate`` / 2. CIFAR-100: every class
    flips to the next of the five classes in its superclass, the last one to the first.

    Args:
        num_classes: 10 or 100.
        rate: in [0, 1/2).
        class_names: the names in the order of the labels; None for the order of CIFAR.

    Raises:
        InputError: classes that are not those of CIFAR, or a rate out of range.

    Source:
        G. Patrini et al., "Making Deep Neural Networks Robust to Label Noise", CVPR 2017, sec. 5.
        Other code often uses the fine labels 0-4, 5-9, ... as superclasses of CIFAR-100. The fine
        labels are alphabetical, so these groups are wrong. Here the superclasses are the published
        ones.

    Example:
        >>> from labelnoise.noise import CIFAR10_CLASSES, CIFAR100_CLASSES
        >>> matrix = asymmetric_matrix(10, 0.4)
        >>> cat, dog = CIFAR10_CLASSES.index("cat"), CIFAR10_CLASSES.index("dog")
        >>> matrix[cat, dog].item(), matrix[dog, cat].item()
        (0.4, 0.4)
        >>> matrix = asymmetric_matrix(100, 0.4)
        >>> matrix[CIFAR100_CLASSES.index("trout"), CIFAR100_CLASSES.index("aquarium_fish")].item()
        0.4
    """
    known, confusions = ASYMMETRIC.get(num_classes, ((), {}))
    names = known if class_names is None else tuple(n.lower() for n in class_names)
    if not known or sorted(names) != sorted(known):
        came = f"{num_classes} classes" + (f" ({_shown(names)})" if names else "")
        raise InputError(
            "asymmetric noise needs the ten classes of CIFAR-10 or the hundred of CIFAR-100, got "
            f"{came}; write noise=pairflip or noise=class_conditional for other data"
        )
    rate = check_rate(rate, num_classes, wrong_classes=1)
    matrix = torch.eye(num_classes, dtype=torch.float64)
    for source, target in confusions.items():
        i, j = names.index(source), names.index(target)
        matrix[i, i], matrix[i, j] = 1 - rate, rate
    return matrix


def _shown(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def transition_matrix(
    clean_label: Integer[Tensor, " n"], label: Integer[Tensor, " n"], num_classes: int
) -> Float[Tensor, "K K"]:
    """The realised matrix: T[i, j] = share of the samples of class i with given label j.

    A class without samples has the row of the identity matrix.

    Raises:
        InputError: labels out of range, or unequal lengths.

    Example:
        >>> transition_matrix(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), num_classes=3)
        tensor([[0.5000, 0.5000, 0.0000],
                [0.0000, 1.0000, 0.0000],
                [0.0000, 0.0000, 1.0000]], dtype=torch.float64)
    """
    clean = check_labels(clean_label, num_classes, "clean_label")
    noisy = check_labels(label, num_classes)
    if len(clean) != len(noisy):
        raise InputError(
            f"{len(noisy)} labels for {len(clean)} clean labels; give one for each sample"
        )
    pairs = torch.bincount(clean * num_classes + noisy, minlength=num_classes**2)
    counts = pairs.reshape(num_classes, num_classes).double()
    samples = counts.sum(dim=1, keepdim=True)
    return torch.where(samples > 0, counts / samples.clamp(min=1), torch.eye(num_classes).double())
