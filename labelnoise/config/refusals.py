"""One-line errors for the exceptions of libraries that cannot use a value of a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import InstantiationException

from labelnoise.errors import InputError, reason_of

# The exceptions that libraries raise for values of a wrong type or size.
_REFUSALS: tuple[type[Exception], ...] = (
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RuntimeError,
    MemoryError,
    ImportError,  # from Lightning, for a device or a precision that needs another library
)


@contextmanager
def in_one_line(*more: type[Exception]) -> Iterator[None]:
    """Turn exceptions of libraries into an InputError of one line with the library's reason.

    Args:
        more: further exceptions to turn into an InputError.

    Example:
        >>> with in_one_line():
        ...     int("a")
        Traceback (most recent call last):
        ...
        labelnoise.errors.InputError: this configuration cannot be built: invalid literal ...
    """
    try:
        yield
    except (InputError, InstantiationException):  # their messages are already clear
        raise
    except (*_REFUSALS, *more) as error:
        raise InputError(
            f"this configuration cannot be built: {reason_of(error)} "
            "(HYDRA_FULL_ERROR=1 shows where)"
        ) from error
