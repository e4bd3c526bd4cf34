"""The one exception for what a user typed, chose or supplied wrongly."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input, told in one line: what came, what is allowed, and what to write instead.

    The command line prints its message alone and exits with status 1; any other exception is a
    defect of the project and keeps its traceback.
    """


class BusyError(InputError):
    """Another process is writing to the directory of a run."""
