"""Check the types and ranges of options, by signatures and by the table of ranges."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf

from labelnoise.config.ranges import FOREIGN, TAKEN, WORDS, Range, range_of
from labelnoise.config.targets import allowed_modules, find, nodes
from labelnoise.errors import InputError

_PLAIN: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word",
    Path: "a path",
    type(None): "null",
}
# Options that labelnoise reads and that are not arguments of the target.
_OURS = ("scheduler.interval",)
# Keys that Hydra reads and that are not arguments of the target.
HYDRA_KEYS = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")


def check_options(cfg: DictConfig, group: str | None = None) -> None:
    """Refuse values of a wrong type or out of range.

    The types come from the signature of each ``_target_`` and of its base classes. Only numbers,
    words, switches, null and lists of these are checked.

    Args:
        cfg: the configuration.
        group: check only this group, without importing the targets of the others.

    Raises:
        InputError: names the option, the value and the allowed values.
    """
    allowed = allowed_modules(cfg)
    part = cfg if group is None else cfg[group]
    for path, node in nodes(OmegaConf.to_container(part, resolve=True), group or ""):
        target = find(node["_target_"], allowed, path)
        hints, names = hints_of(target), names_of(target)
        for key, value in node.items():
            if key not in HYDRA_KEYS:
                where = f"{path}.{key}"
                if names is not None and key not in names and where not in _OURS:
                    there = ", ".join(sorted(names & set(node) or names - {"self"}))
                    raise InputError(f"{where} does not exist, {path} has: {there}")
                hint, bounds = FOREIGN.get(where, (hints.get(key), None))
                check_value(where, value, hint, bounds or range_of(node["_target_"], key))


def check_ranges(cfg: DictConfig) -> None:
    """Refuse numbers out of range, before any target is imported.

    Raises:
        InputError: names the option, the value and the allowed values.
    """
    for path, node in nodes(OmegaConf.to_container(cfg, resolve=True)):
        for key, value in node.items():
            where = f"{path}.{key}"
            hint, bounds = FOREIGN.get(where, (None, range_of(str(node["_target_"]), str(key))))
            check_value(where, value, hint, bounds)
            if where in TAKEN:
                raise InputError(f"{where} cannot be set: write {TAKEN[where]}")
            if where in WORDS and isinstance(value, str) and value not in WORDS[where]:
                raise InputError(f"{where} must be one of {', '.join(WORDS[where])}, got {value}")


def check_value(path: str, value: Any, hint: Any, bounds: Range | None) -> None:
    """Refuse a ``value`` that is not of type ``hint`` or not in ``bounds``.

    Args:
        path: path of the option, for the message.
        hint: a type. Types other than numbers, words, switches, null and lists allow all values.
        bounds: range of numbers, and of each number in a list.

    Raises:
        InputError: names the option, the value and the allowed values.

    Example:
        >>> check_value("data.n", 2.5, int, Range(2, whole=True))
        Traceback (most recent call last):
        ...
        labelnoise.errors.InputError: data.n must be a whole number of at least 2, got 2.5
    """
    kinds = _kinds(hint)
    numbers = value if isinstance(value, list) else [value]
    numbers = [each for each in numbers if _is_number(each)]
    outside = [each for each in numbers if bounds is not None and each not in bounds]
    if outside or not _fits(value, kinds):
        number = None if bounds is None else bounds.describe(outside[0] if outside else 0)
        words = [_in_words(kind, number) for kind in kinds] or [str(number)]
        allowed = " or ".join(dict.fromkeys(words))
        raise InputError(f"{path} must be {allowed}, got {_shown(value)}")


def hints_of(target: Any) -> Mapping[str, Any]:
    """The types of the arguments of a class or function, including arguments by ``**options``."""
    found: dict[str, Any] = {}
    for function in _constructors(target):
        found = {**_hints(function), **found}
    return found


def names_of(target: Any) -> set[str] | None:
    """The names of the arguments of a class or function; None if it accepts any name."""
    names: set[str] = set()
    for function in _constructors(target):
        parameters = inspect.signature(function).parameters.values()
        names |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    return None if _takes_any(function) else names


def _constructors(target: Any) -> list[Any]:
    """The function itself; for a class its ``__init__``, and the one of a base for ``**options``.

    Classes of labelnoise pass ``**options`` to their base class; other classes may ignore them.
    """
    if not inspect.isclass(target):
        return [target]
    found = []
    for base in target.__mro__:
        if "__init__" in vars(base):
            found.append(vars(base)["__init__"])
            if not _takes_any(found[-1]) or not base.__module__.startswith("labelnoise."):
                break
    return found


def _takes_any(function: Any) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


def _hints(function: Any) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # hints of another library
        return {}


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The plain types and ``list[X]`` that a hint allows; empty if it allows other types too."""
    union = get_origin(hint) in (Union, types.UnionType)
    kinds = []
    for kind in get_args(hint) if union else (hint,):
        of_many = get_origin(kind) in (list, Sequence, tuple)
        inner = [each for each in get_args(kind) if each is not ...] if of_many else []
        if of_many and len(set(inner)) == 1:
            kinds.append(list[inner[0]])  # type: ignore[valid-type]
        elif kind in _PLAIN or get_origin(kind) is Literal:
            kinds.append(kind)
        else:
            return ()
    return tuple(kinds)


def _fits(value: Any, kinds: tuple[Any, ...]) -> bool:
    if not kinds:
        return True
    lists = [get_args(kind)[0] for kind in kinds if get_origin(kind) is list]
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    if any(type(value) is type(word) and value == word for word in words):  # true is not 1
        return True
    if isinstance(value, list):
        return any(all(_fits(each, _kinds(inner)) for each in value) for inner in lists)
    if isinstance(value, bool):  # bool is a subclass of int
        return bool in kinds
    if isinstance(value, int) and float in kinds:
        return True
    if isinstance(value, str):
        return value != "" and (str in kinds or Path in kinds)
    return isinstance(value, tuple(kind for kind in kinds if kind in _PLAIN))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_words(kind: Any, number: str | None) -> str:
    """A kind in words; ``number`` has the words for a bounded number."""
    if get_origin(kind) is list:
        inner = [_in_words(each, number) for each in _kinds(get_args(kind)[0])]
        return f"a list, each {' or '.join(inner)}" if inner else "a list"
    if get_origin(kind) is Literal:
        return " or ".join(str(word) for word in get_args(kind))
    return number if number and kind in (int, float) else _PLAIN[kind]


def _shown(value: Any) -> str:
    text = "''" if value == "" else "null" if value is None else str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
