"""Tests, and the check of shapes and types that pyproject.toml switches on for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype

# The numeric tower lets an int pass as a float, as mypy does.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))

jaxtyped = jaxtyping.jaxtyped


def check(function: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
    """Check a function by jaxtyping if an array is among its types, and otherwise without.

    Jaxtyping compares the sizes of all arrays in a call. That takes a fifth of the time of a small
    run, most of it in functions that have no array.
    """
    if function is None:
        return lambda function: check(function, typechecker=typechecker)
    if inspect.isclass(function) or has_array(function):
        return jaxtyped(function, typechecker=typechecker)
    return typechecker(function)


def has_array(function: Any) -> bool:
    """Whether an array is among the types, or a type cannot be read yet."""
    try:
        hints = inspect.get_annotations(function, eval_str=True)
    except (NameError, AttributeError, TypeError):
        return True
    return any(map(is_array, hints.values()))


def is_array(hint: Any) -> bool:
    """Whether a type is an array of jaxtyping or contains one."""
    return (inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray)) or any(
        map(is_array, get_args(hint))
    )


vars(jaxtyping)["jaxtyped"] = check  # the name that the decorators of the plugin look up
