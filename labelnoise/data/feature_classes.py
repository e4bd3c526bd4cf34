"""The classes of a table of features: names of labels, never places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.files.label_words import some

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def class_names_of(words: Iterable[str], source: str) -> tuple[str, ...]:
    """The distinct labels: numbers by value, other words by text.

    Raises:
        InputError: one class, numbers with a fraction, or two forms of a number (1 and 01).

    Example:
        >>> class_names_of(["10", "2", "10"], "a.csv"), class_names_of(["dog", "cat"], "a.csv")
        (('2', '10'), ('cat', 'dog'))
    """
    names = sorted(set(words))
    if len(names) < 2:
        raise InputError(f"{source} has one class, {names[0]!r}; write rows of two or more classes")
    if not all(_NUMBER.fullmatch(name) for name in names):
        return tuple(names)
    names.sort(key=float)
    parts = [name for name in names if not float(name).is_integer()]
    if parts:
        raise InputError(
            f"{source} has {len(parts)} labels with a fraction, the first is {parts[0]}; a label "
            "is a class: write a whole number or a word"
        )
    for one, other in pairwise(names):
        if float(one) == float(other):
            raise InputError(
                f"{source} has the labels {one!r} and {other!r}, which are the same number and two "
                "names; write one form"
            )
    return tuple(names)


def classes_of(words: Sequence[str], class_names: Sequence[str], source: str) -> Int[Tensor, " n"]:
    """The place of each label among the class names; a number also matches a name of its value.

    Labels are never read as places.

    Raises:
        InputError: labels that are no class.

    Example:
        >>> classes_of(["02", "1"], ["1", "2"], "test.csv")
        tensor([1, 0])
    """
    place = {name: k for k, name in enumerate(class_names)}
    value = {float(name): k for name, k in place.items() if _NUMBER.fullmatch(name)}
    for word in set(words) - set(place):
        if _NUMBER.fullmatch(word) and float(word) in value:
            place[word] = value[float(word)]
    unknown = [word for word in words if word not in place]
    if unknown:
        raise InputError(
            f"{source} has {len(unknown)} labels that are no class of the training rows, the first "
            f"is {unknown[0]!r}; the classes are {some(class_names)}"
        )
    return torch.tensor([place[word] for word in words])
