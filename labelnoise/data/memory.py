"""Refuse data that do not fit into the free memory before they are read."""

from __future__ import annotations

from labelnoise.errors import InputError
from labelnoise.processes.memory import available_memory

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def in_units(size: float) -> str:
    """A number of bytes in words.

    Example:
        >>> in_units(12), in_units(184_320_000), in_units(4.4e9)
        ('12 bytes', '184 MB', '4.4 GB')
    """
    place = 0
    while size >= 1000 and place < len(UNITS) - 1:
        size, place = size / 1000, place + 1
    return f"{size:.0f} {UNITS[place]}" if size >= 100 else f"{size:.3g} {UNITS[place]}"


def check_fits(needed: int, contents: str, advice: str) -> str:
    """Refuse data that need more memory than is free.

    Args:
        needed: bytes of all simultaneous copies.
        contents: the data in words, in the plural.
        advice: the remedy, for the message.

    Returns:
        A line with the needed and the free memory.

    Raises:
        InputError: ``needed`` is more than the free memory.
    """
    free = available_memory()
    line = f"{contents} take {in_units(needed)} of memory"
    if free is None:
        return line
    if needed > free:
        raise InputError(f"{line} but only {in_units(free)} are free: {advice}")
    return f"{line}, {in_units(free)} are free"
