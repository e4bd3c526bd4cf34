"""The exception for bad input of a user."""

from __future__ import annotations

import errno

# The errors of a disk that is full, read-only or broken.
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


class InputError(ValueError):
    """Bad input; the message is one line with the value, the allowed values and the remedy.

    The command line prints only the message and exits with status 1. Any other exception is a bug
    and keeps its traceback.
    """


def reason_of(error: BaseException) -> str:
    """The message of an exception in one line; its class if it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


def is_of_the_disk(error: BaseException) -> bool:
    """Whether an exception, or one of its causes, says that the disk is full, read-only or broken.

    Example:
        >>> is_of_the_disk(OSError(errno.ENOSPC, "No space left on device"))
        True
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _OF_THE_DISK:
            return True
        cause = cause.__cause__
    return False


class BusyError(InputError):
    """Another process is writing to the directory of a run."""
