"""Checks of the command-line words before Hydra reads them, which would silently drop some."""

from __future__ import annotations

import re
from collections.abc import Iterable

from labelnoise.errors import InputError

# Groups with several choices in one run.
LISTS = ("technique", "monitor", "logger")
# Groups with one choice in a run.
SINGLE = ("data", "noise", "model", "optimizer", "scheduler", "trainer")
# Launchers of hydra-submitit-launcher, and the launchers that replace them.
_REPLACED = {
    "hydra/launcher=submitit_local": "hydra/launcher=slurm_local",
    "hydra/launcher=submitit_slurm": "hydra/launcher=slurm",
}


def replace_launchers(words: Iterable[str]) -> list[str]:
    """The words with our launcher in place of the one of hydra-submitit-launcher.

    That package ends a sweep with the traceback of the first job that fails.

    Example:
        >>> replace_launchers(["-m", "hydra/launcher=submitit_slurm"])
        ['-m', 'hydra/launcher=slurm']
    """
    return [_REPLACED.get(word, word) for word in words]


def check_words(words: Iterable[str]) -> None:
    """Refuse a key with two different values; Hydra would silently drop one of them.

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
        if equals and not key:
            raise InputError(f"cannot read {word!r}, write NAME=VALUE")
        if not equals or key.startswith("-"):
            continue
        if typed.setdefault(key, value) != value:
            raise InputError(f"{key} is given twice, as {typed[key]} and as {value}: write it once")
    check_lists(words)


def check_lists(words: Iterable[str]) -> None:
    """Refuse a repeated choice in a list, and a list for a group with one choice.

    Hydra would use the repeated choice once, and mix the options of several choices.

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
            raise InputError(f"{group} must be one choice, as {group}=NAME, got {value}")
        if group.lstrip("+~") in LISTS:
            for inner in re.findall(r"\[([^\]]*)\]", value):
                names = [name.strip() for name in inner.split(",")]
                if doubled := [name for name in names if names.count(name) > 1]:
                    raise InputError(f"{word} names {doubled[0]} twice: write it once")
