"""Ctrl-C and SIGTERM: answered at once, or where a run can be left without losing work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Of this process: the first signal that came, and how many blocks are deferring.
_received: int | None = None
_deferring = 0


class Interrupted(SystemExit):
    """The process was asked to stop: it exits with 130 after Ctrl-C, with 143 after SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into :class:`Interrupted` inside the block.

    Within :func:`deferred` the first signal waits and a second one does not. A signal that the
    process ignores stays ignored, as SIGINT is in a shell's background job. Python handles signals
    in the main thread only; in another thread the block changes nothing.
    """
    global _received
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    outermost = _answer not in before.values()
    if outermost:
        _received = None
    take_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if outermost:
            _received = None


def take_signals() -> None:
    """Handle the signals here again, after a library took them over."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _answer)


@contextmanager
def deferred() -> Iterator[None]:
    """Let the first signal wait until the block ends, or until it asks :func:`received`."""
    global _deferring
    _deferring += 1
    try:
        yield
    finally:
        _deferring -= 1
    if _received is not None and not _deferring:
        raise Interrupted(_received)


def received() -> int | None:
    """The number of the signal that waits; None where there is none."""
    return _received


def _answer(number: int, frame: FrameType | None) -> None:
    global _received
    waits = _deferring > 0 and _received is None
    _received = _received or number
    if not waits:
        raise Interrupted(number)
