"""Checks of the options of losses."""

from __future__ import annotations

import math

from labelnoise.errors import InputError


def check_share(name: str, value: float) -> None:
    """Refuse values outside [0, 1].

    Example:
        >>> check_share("beta", 0.5)
        >>> check_share("beta", 1.5)
        Traceback (most recent call last):
        labelnoise.errors.InputError: beta must be from 0 to 1, got 1.5
    """
    if not 0 <= value <= 1:
        raise InputError(f"{name} must be from 0 to 1, got {value}")


def check_below_one(name: str, value: float) -> None:
    """Refuse values outside [0, 1)."""
    if not 0 <= value < 1:
        raise InputError(f"{name} must be at least 0 and below 1, got {value}")


def check_not_negative(name: str, value: float) -> None:
    """Refuse values that are below 0 or not finite."""
    if not 0 <= value < math.inf:
        raise InputError(f"{name} must be at least 0 and finite, got {value}")


def check_positive(name: str, value: float) -> None:
    """Refuse values that are not above 0 or not finite."""
    if not 0 < value < math.inf:
        raise InputError(f"{name} must be above 0 and finite, got {value}")


def check_log_zero(value: float) -> None:
    """Refuse values that cannot replace log 0."""
    if not -math.inf < value < 0:
        raise InputError(f"log_zero must be below 0 and finite (it replaces log 0), got {value}")
