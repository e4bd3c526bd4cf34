"""What every kind of label noise asks of the labels and of the rate it is given."""

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
    """Return ``rate`` as a float if the true class stays the most likely label under it.

    A flip spread evenly over s wrong classes gives each of them rate / s, and the true class keeps
    1 - rate, so the rate must be below s / (s + 1): (K-1)/K for noise over all other classes, 1/2
    for noise that sends a class to one other class.

    Args:
        rate: the share of labels to flip, in [0, s / (s + 1)).
        num_classes: K >= 2.
        name: what the message calls the value.
        wrong_classes: s, over how many classes a flip is spread; None for all K - 1.

    Raises:
        InputError: for a rate that is no finite number or lies outside the interval.

    Source:
        arXiv 2505.18909 asks tau_+, tau_- < 1/2 of two classes.

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
                "with two classes the wrong labels would be the majority and the signal learned "
                "is reversed (the theory needs tau_+, tau_- < 1/2)"
            )
        elif spread == 1:
            reason = "the one wrong class would be at least as likely a label as the true class"
        else:
            reason = f"the true class must stay the most likely label of the {num_classes} classes"
        raise InputError(
            f"{name} {rate} is not below {spread}/{spread + 1}: {reason}; "
            f"write a number in {allowed}"
        )
    return value


def check_num_classes(num_classes: int) -> None:
    """Refuse a number of classes between which no label can be flipped."""
    if num_classes < 2:
        raise InputError(f"num_classes is {num_classes}; label noise needs at least 2 classes")


def check_labels(label: Tensor, num_classes: int, name: str = "label") -> Int[Tensor, " n"]:
    """Return ``label`` as (n,) int64 on the CPU if it holds classes 0..K-1 only.

    Raises:
        InputError: for another shape, a type that is no integer, or a class out of range.

    Example:
        >>> check_labels(torch.tensor([0, 1], dtype=torch.uint8), num_classes=2)
        tensor([0, 1])
    """
    check_num_classes(num_classes)
    if label.ndim != 1:
        raise InputError(f"{name} has shape {tuple(label.shape)}; give one class a sample, (n,)")
    if label.is_floating_point() or label.is_complex() or label.dtype == torch.bool:
        raise InputError(f"{name} is {label.dtype}; give integers 0..{num_classes - 1}")
    label = label.to("cpu", torch.int64)
    outside = (label < 0) | (label >= num_classes)
    if outside.any():
        place = int(outside.nonzero()[0])
        raise InputError(
            f"{name} has {int(outside.sum())} of {len(label)} values outside "
            f"0..{num_classes - 1}, the first is {int(label[place])} at place {place}; "
            "leave those samples out, or choose the data with these classes"
        )
    return label
