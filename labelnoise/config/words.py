"""What is typed, before Hydra reads it: words of which it would drop one without saying so."""

from __future__ import annotations

import re
from collections.abc import Iterable

from labelnoise.errors import InputError

# Groups of which several choices can be taken.
LISTS = ("technique", "monitor", "logger")
# Groups of which a run has one.
SINGLE = ("data", "noise", "model", "optimizer", "scheduler", "trainer")


def check_words(words: Iterable[str]) -> None:
    """Refuse a key that is typed twice with two values, of which Hydra would drop one unsaid.

    Raises:
        InputError: names the key and both values.

    Example:
        >>> check_words(["seed=1", "seed=2"])
        Traceback (most recent call last):
        ...
        labelnoise.errors.InputError: seed is given twice, as 1 and as 2: write it once
    """
    typed: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        key = key.lstrip("+~")
        if not equals or key.startswith("-"):
            continue
        if typed.setdefault(key, value) != value:
            raise InputError(f"{key} is given twice, as {typed[key]} and as {value}: write it once")
    check_lists(words)


def check_lists(words: Iterable[str]) -> None:
    """Refuse a choice that a list names twice, and a list where a run has one part of a kind.

    Hydra would take the doubled one once, and mix the options of the others.

    Raises:
        InputError: names the group and the choice.

    Example:
        >>> check_lists(["technique=[elr,elr]"])
        Traceback (most recent call last):
        ...
        labelnoise.errors.InputError: technique=[elr,elr] names elr twice: write it once
    """
    for word in words:
        group, _, value = word.partition("=")
        if group in SINGLE and value.startswith("["):
            raise InputError(f"{group} is one choice, as {group}=NAME, got {value}")
        if group.lstrip("+~") in LISTS:
            for inner in re.findall(r"\[([^\]]*)\]", value):
                names = [name.strip() for name in inner.split(",")]
                if doubled := [name for name in names if names.count(name) > 1]:
                    raise InputError(f"{word} names {doubled[0]} twice: write it once")
