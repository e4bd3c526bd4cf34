"""Checks of labels, noise rates and numbers of classes."""

from __future__ import annotations

import math
from numbers import Real

import torch
from jaxtyping import Int
from torch import Tensor

from labelnoise.errors import InputError


def check_rate(
    rate: object, num_classes: int, *, name: str = "noise rate", wrong_classes: int | None = None
) -> float:
    """Return ``rate`` as a float if the true class stays the most likely label.

    If flips are spread evenly over s wrong classes, each has probability rate / s and the true
    class has 1 - rate. The rate must therefore be below s / (s + 1): (K-1)/K for flips to all other
    classes, 1/2 for flips to one other class.

    Args:
        rate: the share of labels to flip, in [0, s / (s + 1)).
        num_classes: K >= 2.
        name: the name of the value in messages.
        wrong_classes: s, the number of wrong classes of a flip; None for all K - 1.

    Raises:
        InputError: a rate that is not a finite number or is outside the interval.

    Source:
        arXiv 2505.18909 requires tau_+, tau_- < 1/2 for two classes.

    Example:
        >>> check_rate(0.45, num_classes=2)
        0.45
        >>> check_rate(0.5, num_classes=10)
        0.5
    """
    check_num_classes(num_classes)
    spread = num_classes - 1 if wrong_classes is None else wrong_classes
    limit = spread / (spread + 1)
    allowed = f"[0, {limit:.4g})"
    if isinstance(rate, bool) or not isinstance(rate, Real) or not math.isfinite(rate):
        raise InputError(f"{name} {rate!r} is not a finite number; write a number in {allowed}")
    value = float(rate)
    if value < 0:
        raise InputError(f"{name} {rate} is negative; write a number in {allowed}")
    if value >= limit:
        if num_classes == 2:
            reason = (
                "with two classes the wrong labels would be the majority, and the learned signal "
                "would be reversed (the theory needs tau_+, tau_- < 1/2)"
            )
        elif spread == 1:
            reason = "the wrong class would be at least as likely as the true class"
        else:
            reason = f"the true class must stay the most likely label of the {num_classes} classes"
        raise InputError(
            f"{name} {rate} is not below {spread}/{spread + 1}: {reason}; "
            f"write a number in {allowed}"
        )
    return value


def check_num_classes(num_classes: int) -> None:
    """Refuse fewer than two classes."""
    if num_classes < 2:
        raise InputError(f"num_classes is {num_classes}; label noise needs at least 2 classes")


def check_labels(label: Tensor, num_classes: int, name: str = "label") -> Int[Tensor, " n"]:
    """Return ``label`` as (n,) int64 on the CPU if it has only classes 0..K-1.

    Raises:
        InputError: another shape, a type that is not an integer, or a class out of range.

    Example:
        >>> check_labels(torch.tensor([0, 1], dtype=torch.uint8), num_classes=2)
        tensor([0, 1])
    """
    check_num_classes(num_classes)
    if label.ndim != 1:
        raise InputError(
            f"{name} has shape {tuple(label.shape)}; give one class for each sample, (n,)"
        )
    if label.is_floating_point() or label.is_complex() or label.dtype == torch.bool:
        raise InputError(f"{name} is {label.dtype}; give integers 0..{num_classes - 1}")
    label = label.to("cpu", torch.int64)
    outside = (label < 0) | (label >= num_classes)
    if outside.any():
        place = int(outside.nonzero()[0])
        raise InputError(
            f"{name} has {int(outside.sum())} of {len(label)} values outside "
            f"0..{num_classes - 1}, the first is {int(label[place])} at position {place}; "
            "leave these samples out, or choose data with these classes"
        )
    return label
