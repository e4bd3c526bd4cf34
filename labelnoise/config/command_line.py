"""Shared by run.py, phase_diagram.py and the reports: bad input ends with one line on stderr.

The exit status is then 1.
"""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from labelnoise.config.hydra_errors import explain_hydra, explain_yaml, raised_in_hydra
from labelnoise.config.own_parts import check_own_names, config_dir_of
from labelnoise.config.places import remove_made
from labelnoise.config.words import check_words, replace_launchers
from labelnoise.errors import InputError
from labelnoise.processes.alone import check_alone
from labelnoise.processes.interrupts import interruptible, interruption_behind

# The setting of the user, before one_line_errors sets the variable.
_TRACEBACKS = os.environ.get("HYDRA_FULL_ERROR") == "1"
# The name of the file in conf/ that this process composes.
_config_name = "config"


@contextmanager
def one_line_errors(config_name: str = "config") -> Iterator[None]:
    """End the process with one line for a user's error; wraps the command of CONFIG_NAME.yaml.

    A user's error is an InputError, anywhere in the chain of causes, or an error of Hydra or
    OmegaConf in the configuration. Bugs keep their tracebacks. ``HYDRA_FULL_ERROR=1`` shows the
    traceback of every error. The exit status is 130 after Ctrl-C and 143 after SIGTERM.
    """
    global _config_name
    _config_name = config_name
    # Without this variable Hydra prints errors over many lines and exits.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    error_of_argparse = argparse.ArgumentParser.error
    argparse.ArgumentParser.error = _refuse_flag  # type: ignore[assignment,method-assign]
    try:
        with config_dir_of(sys.argv[1:]), _one_line(), interruptible():
            check_alone()
            sys.argv[1:] = replace_launchers(sys.argv[1:])
            check_words(sys.argv[1:])
            check_own_names()
            yield
    finally:
        if not _TRACEBACKS:
            os.environ.pop("HYDRA_FULL_ERROR", None)
        argparse.ArgumentParser.error = error_of_argparse  # type: ignore[method-assign]
        remove_made()


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        exit_with_one_line(error)
        raise


@contextmanager
def job(directory: Path, *, alone: bool) -> Iterator[None]:
    """Wrap one job: if it fails before it writes anything, remove its directory.

    A job ``alone`` (not in a sweep) ends the process here, because Hydra would add a line to the
    exception. :func:`one_line_errors` then removes its directory. In a sweep the exception goes to
    Hydra, which first runs the other jobs.
    """
    try:
        yield
    except Exception as error:
        if alone:
            exit_with_one_line(error)
        with suppress(OSError):
            directory.rmdir()  # fails if the directory is not empty
        raise


def resume_command(directory: Path, allow_targets: Sequence[str] = ()) -> str:
    """The command that continues an interrupted run, by the name of the present command.

    Example:
        >>> resume_command(Path("outputs/a"), ["my_project"])
        'python run.py resume=outputs/a allow_targets=[my_project]'
    """
    script = Path(sys.argv[0])
    words = ["labelnoise"] if script.stem == "labelnoise" else ["python", "run.py"]
    if script.name == "run.py":
        words[-1] = sys.argv[0]
    words.append(f"resume={directory}")
    if allow_targets:
        words.append(f"allow_targets=[{','.join(allow_targets)}]")
    return " ".join(words)


def repeat_command(name: str) -> str:
    """The present command, with the ``name`` of its directory.

    Example:
        >>> from unittest import mock
        >>> with mock.patch.object(sys, "argv", ["/usr/bin/labelnoise", "-m", "seed=range(0,9)"]):
        ...     repeat_command("a")
        "labelnoise -m 'seed=range(0,9)' name=a"
    """
    script = Path(sys.argv[0])
    words = ["python", sys.argv[0]] if script.suffix == ".py" else [script.name]
    words += sys.argv[1:]
    if not any(word.startswith("name=") for word in words):
        words.append(f"name={name}")
    return shlex.join(words)


# What helps against an error of the system, by its number.
_REMEDIES = {
    errno.EACCES: "choose another place, or give yourself the right to use it",
    errno.EEXIST: "a file or a broken link is in the place of a folder, choose another name",
    errno.EISDIR: "a folder has this name, give a file",
    errno.ENAMETOOLONG: "write a shorter name",
    errno.ENOENT: "choose a folder in which you can write",
    errno.ENOSPC: "free some space on the disk, and give the same command again",
    errno.ENOTDIR: "a file is in the place of a folder, choose another name",
    errno.EROFS: "choose a place that can be written",
}


def _refuse_flag(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """Replaces the usage page that Hydra's parser prints for words that it cannot read."""
    raise InputError(f"{message} (write -m and other flags first, see --help)")


def exit_with_one_line(error: Exception) -> None:
    """End the process with the line of a user's error, or as after a signal; other errors pass."""
    if (interrupted := interruption_behind(error)) is not None:
        raise interrupted from None
    line = explain(error)
    if line is not None and not _TRACEBACKS:
        sys.stderr.write(f"error: {printable(line)}\n")
        raise SystemExit(1) from None


def printable(line: str) -> str:
    """The line with an escape for each character that cannot be printed, such as a newline.

    Example:
        >>> printable("a\\nb é")
        'a\\\\nb é'
    """
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)


def explain(error: BaseException) -> str | None:
    """The line for a user's error; None for other errors."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return str(cause)
        cause = cause.__cause__
    if isinstance(error, OSError) and error.strerror is not None:
        remedy = _REMEDIES.get(error.errno or 0)
        line = f"cannot use {error.filename or 'the output directory'}: {error.strerror}"
        return f"{line}; {remedy}" if remedy else line
    if (mistake := explain_yaml(error)) is not None:
        return mistake
    if isinstance(error, HydraException | OmegaConfBaseException) or raised_in_hydra(error):
        return explain_hydra(error, _config_name)
    return None
