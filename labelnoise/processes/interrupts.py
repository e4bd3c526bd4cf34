"""Handle Ctrl-C and SIGTERM: immediately, or at the next point where no work is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# In this process: the first received signal, the number of active deferring blocks, and whether
# only the first signal counts.
_received: int | None = None
_deferring = 0
_only_first = False


class Interrupted(SystemExit):
    """The process was interrupted; the exit status is 130 after Ctrl-C and 143 after SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@contextmanager
def interruptible(*, only_first: bool = False) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into :class:`Interrupted` inside the block.

    Within :func:`deferred` the first signal waits, but a second one does not. A signal that the
    process ignores stays ignored, for example SIGINT in a background job of a shell. Python handles
    signals only in the main thread; in another thread the block does nothing.

    Args:
        only_first: whether the signals after the first one are ignored, because the sender repeats
            them, or because others send the same signal.
    """
    global _received, _only_first
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    outermost = _answer not in before.values()
    if outermost:
        _received, _only_first = None, only_first
    take_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if outermost:
            _received, _only_first = None, False


def take_signals() -> None:
    """Install the handlers again, after a library replaced them."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _answer)


@contextmanager
def deferred() -> Iterator[None]:
    """Let the first signal wait until the end of the block, or until a call of :func:`received`."""
    global _deferring
    _deferring += 1
    try:
        yield
    finally:
        _deferring -= 1
    if _received is not None and not _deferring:
        raise Interrupted(_received)


def take_over_from_parent() -> None:
    """Leave Ctrl-C to the parent process, and exit when it ends.

    The parent must hold the other end of stdin and write nothing to it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        os.read(0, 1)  # not sys.stdin, because its lock would block a normal exit
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def received() -> int | None:
    """The number of the waiting signal, or None."""
    return _received


def interruption_behind(error: BaseException) -> Interrupted | None:
    """The interruption that led to an exception, or None.

    A signal can reach a library in the middle of its work, which then fails while it cleans up.
    """
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if isinstance(each, Interrupted):
            return each
        seen.add(id(each))
        nearer = (each.__cause__, each.__context__)
        waiting += [other for other in nearer if other is not None and id(other) not in seen]
    return None


def _answer(number: int, frame: FrameType | None) -> None:
    global _received
    if _only_first and _received is not None:
        return
    waits = _deferring > 0 and _received is None
    _received = _received or number
    if not waits:
        raise Interrupted(number)
