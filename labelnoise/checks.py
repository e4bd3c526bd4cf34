"""Checks of numbers and words, with messages of one form: the value, and the allowed values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral
from typing import Any, NamedTuple

from labelnoise.errors import InputError

# A larger count is a typing error; a run with it would overflow or never end.
MOST = 10**12
# Seeds are kept as 64-bit integers.
LARGEST_SEED = 2**63 - 1
# Larger bounds only catch typing errors; a message names such a bound only if it is exceeded.
_WORTH_SAYING = 10**6


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``, without infinity and NaN.

    Attributes:
        above, below: whether ``low`` itself, and whether ``high`` itself, is excluded.
        whole: whether only whole numbers are allowed.

    Example:
        >>> 1 in Range(0, 1), 1 in Range(0, 1, below=True), float("nan") in Range()
        (True, False, False)
        >>> [Range(0, 1, below=True).describe(5), Range(1, whole=True).describe(0)]
        ['a number from 0 to below 1', 'a whole number of at least 1']
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    whole: bool = False

    def __contains__(self, value: Any) -> bool:
        if not isinstance(value, Integral) and (self.whole or not math.isfinite(value)):
            return False
        above = self.low < value if self.above else self.low <= value
        below = value < self.high if self.below else value <= self.high
        return bool(above and below)  # a comparison of NumPy numbers is a numpy.bool

    def describe(self, value: float) -> str:
        """The allowed numbers in words, for the message that refuses ``value``."""
        number = "a whole number" if self.whole else "a number"
        low, high = f"{self.low:,}", f"{self.high:,}"
        has_high = self.high <= _WORTH_SAYING or (self.high < math.inf and value > self.high)
        if self.low == -math.inf:
            return f"{number} {f'below {high}' if has_high else 'that is finite'}"
        if self.above and has_high:
            return f"{number} above {low} and {'below' if self.below else 'at most'} {high}"
        begin = f"{number} {'above' if self.above else 'from' if has_high else 'of at least'} {low}"
        if has_high:
            return f"{begin} to {'below ' * self.below}{high}"
        return f"{begin} and finite" if value == math.inf else begin


def whole(low: int, high: int = MOST) -> Range:
    """Whole numbers from ``low`` to ``high``."""
    return Range(low, high, whole=True)


COUNT = whole(1)
SEED = whole(0, LARGEST_SEED)
FINITE = Range()
POSITIVE = Range(0, above=True)
NOT_NEGATIVE = Range(0)
SHARE = Range(0, 1)
BELOW_ONE = Range(0, 1, below=True)
NEGATIVE = Range(high=0, below=True)


def check_number(name: str, value: float, allowed: Range) -> None:
    """Refuse a number outside a range.

    Raises:
        InputError: names the option, the value and the range.

    Example:
        >>> check_number("beta", 1.5, SHARE)
        Traceback (most recent call last):
        ...
        labelnoise.errors.InputError: beta must be a number from 0 to 1, got 1.5
    """
    if value not in allowed:
        raise InputError(f"{name} must be {allowed.describe(value)}, got {value}")


def check_word(name: str, value: object, allowed: Iterable[object]) -> None:
    """Refuse a word or a number that is not one of the allowed ones.

    Raises:
        InputError: names the option, the value and the words.

    Example:
        >>> check_word("depth", 20, (18, 34, 50))
        Traceback (most recent call last):
        ...
        labelnoise.errors.InputError: depth must be one of 18, 34, 50, got 20
    """
    words = list(allowed)
    if value not in words:
        raise InputError(f"{name} must be one of {', '.join(map(str, words))}, got {value}")
