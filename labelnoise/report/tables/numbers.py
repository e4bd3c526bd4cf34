"""The numbers of summary.json by their dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Keys of summary.json that describe the command and the place of a run.
_NOT_RESULTS = ("overrides", "config_hash")


def numbers_of(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The numbers of a summary by their dotted names, and its status.

    Example:
        >>> dict(numbers_of({"status": "finished", "final": {"test/acc": 0.9}, "data": "x"}))
        {'status': 'finished', 'final.test/acc': 0.9}
    """
    for key, value in summary.items():
        if isinstance(value, Mapping):
            yield from numbers_of(value, f"{prefix}{key}.")
        elif (
            prefix + key == "status"
            or (value is None and key not in _NOT_RESULTS)
            or isinstance(value, int | float)
        ):
            yield prefix + key, value
