"""Check and convert values of the configuration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from labelnoise.errors import InputError


def number(key: str, value: Any) -> float:
    """A finite number.

    Raises:
        InputError: another value, including true and false.

    Example:
        >>> number("steps", 3)
        3.0
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{key} must be a finite number, got {value}")
    return float(value)


def numbers(key: str, values: Any) -> list[float]:
    """A list of at least one finite number.

    Raises:
        InputError: another value.
    """
    if not isinstance(values, list) or not values:
        raise InputError(f"{key} must be a list of numbers as [1,2.5], got {values}")
    return [number(key, value) for value in values]


def mapping(key: str, value: Any, known: Iterable[str], example: str) -> Mapping[str, Any]:
    """A mapping with only known keys.

    Raises:
        InputError: another value; the message has ``example``.
    """
    if not isinstance(value, dict):
        raise InputError(f"{key} must be as {example}, got {value}")
    unknown = [name for name in value if name not in known]
    if unknown:
        raise InputError(f"{key}.{unknown[0]} does not exist, {key} has: {', '.join(known)}")
    return value


def choice(key: str, value: Any, allowed: Iterable[str]) -> str:
    """An allowed word.

    Raises:
        InputError: another value.
    """
    if not isinstance(value, str) or value not in allowed:
        raise InputError(f"{key}={value} does not exist, choose from: {', '.join(allowed)}")
    return value
