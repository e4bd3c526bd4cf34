"""Values of the right type for our own parts, checked against the signatures that they go to."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from labelnoise.errors import InputError

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


def check_options(cfg: DictConfig) -> None:
    """Refuse a value whose type is not that of the option it is given for.

    Looked at are the nodes whose ``_target_`` is one of ours, and of their options those that are
    plain numbers, words and switches; everything else is left to the part itself.

    Raises:
        InputError: names the option, the value and what is allowed.
    """
    plain = OmegaConf.to_container(cfg, resolve=True)
    for path, node in _nodes(plain, ""):
        target = get_object(node["_target_"])
        function = target.__init__ if inspect.isclass(target) else target
        hints = get_type_hints(function)
        for key, value in node.items():
            allowed = _plain_types(hints.get(key))
            if allowed and not _fits(value, allowed):
                words = [_WORDS[kind] for kind in allowed if kind in _WORDS]
                words += ["null"] if type(None) in allowed else []
                raise InputError(f"{path}.{key} must be {' or '.join(words)}, got {value}")


def _nodes(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(node, dict):
        return
    if str(node.get("_target_", "")).startswith("labelnoise."):
        yield path, node
    for key, value in node.items():
        yield from _nodes(value, f"{path}.{key}" if path else str(key))


def _plain_types(hint: Any) -> tuple[type, ...]:
    """What a hint allows, where that is nothing but numbers, words, switches and null."""
    union = get_origin(hint) in (Union, types.UnionType)
    kinds = get_args(hint) if union else (hint,)
    known = {*_WORDS, type(None)}
    return tuple(kinds) if all(kind in known for kind in kinds) else ()


def _fits(value: Any, allowed: tuple[type, ...]) -> bool:
    if isinstance(value, bool):  # which Python takes for a number
        return bool in allowed
    if isinstance(value, int) and float in allowed:
        return True
    return isinstance(value, allowed)
