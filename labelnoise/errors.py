"""The exception for bad input of a user."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input; the message is one line with the value, the allowed values and the remedy.

    The command line prints only the message and exits with status 1. Any other exception is a bug
    and keeps its traceback.
    """


def reason_of(error: BaseException) -> str:
    """The message of an exception in one line; its class if it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


class BusyError(InputError):
    """Another process is writing to the directory of a run."""
