"""What the doors share: bad input is answered by one line on stderr and exit status 1."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from labelnoise.errors import InputError
from labelnoise.interrupts import interruptible

# Asked for by the user, before the doors set it for themselves.
_TRACEBACKS = os.environ.get("HYDRA_FULL_ERROR") == "1"
# The file of conf/ that this process composes.
_config_name = "config"


@contextmanager
def one_line_errors(config_name: str = "config") -> Iterator[None]:
    """Around the door of conf/CONFIG_NAME.yaml: end the process with one line for a user's error.

    A user's error is an InputError, wherever in the chain of causes, and whatever Hydra or
    OmegaConf refuse in the configuration; the project's own defects keep their tracebacks.
    ``HYDRA_FULL_ERROR=1`` shows the traceback of every error. Ctrl-C ends with exit status 130 and
    SIGTERM with 143.
    """
    global _config_name
    _config_name = config_name
    # Hydra prints errors over many lines and exits, unless it is asked to let them through.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        with interruptible():
            yield
    except Exception as error:
        _exit_with_one_line(error)
        raise


@contextmanager
def job(directory: Path, *, alone: bool) -> Iterator[None]:
    """Around one job: take away the directory made for it if it failed before it wrote anything.

    A job ``alone`` ends the process here, since Hydra adds a line of its own to an exception that
    reaches it. In a sweep the exception goes on to Hydra, which runs the other jobs first.
    """
    try:
        yield
    except Exception as error:
        with suppress(OSError):
            directory.rmdir()  # refuses where there is something in it
        if alone:
            _exit_with_one_line(error)
        raise


def _exit_with_one_line(error: Exception) -> None:
    line = explain(error)
    if line is not None and not _TRACEBACKS:
        sys.stderr.write(f"error: {line}\n")
        raise SystemExit(1) from None


def explain(error: BaseException) -> str | None:
    """The line for a user's error; None for anything else."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return str(cause)
        cause = cause.__cause__
    if isinstance(error, OSError) and error.strerror is not None:
        return f"cannot use {error.filename or 'the output directory'}: {error.strerror}"
    if isinstance(error, HydraException | OmegaConfBaseException) or _raised_in_hydra(error):
        return _explain_hydra(error)
    return None


def _raised_in_hydra(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("hydra.")


def _explain_hydra(error: BaseException) -> str:
    text = str(error)
    if error.__cause__ is not None and str(error.__cause__) not in text:
        text += f"\n{error.__cause__}"
    for pattern, rewrite in _REWRITES:
        if match := re.search(pattern, text, re.DOTALL):
            return rewrite(match)
    return " ".join(text.split())


def _no_such_choice(match: re.Match[str]) -> str:
    group, choice, options = match.groups()
    return f"{group}={choice} does not exist, choose from: {', '.join(options.split())}"


def _no_such_option(match: re.Match[str]) -> str:
    full_key = match[1]
    return f"{full_key} does not exist{_choices_beside(full_key)}"


def _choices_beside(full_key: str) -> str:
    """The options that exist at the place of a misspelt one, found by composing without it."""
    from labelnoise.config import CONF_DIR, compose_config, register_schema

    group, _, choice = full_key.rpartition(".")[0].partition(".")
    if choice and (CONF_DIR / group / f"{choice}.yaml").is_file() and not _chosen(group, choice):
        return f" without {group}={choice}: write both"
    parent = full_key.rpartition(".")[0]
    others = [
        word
        for word in sys.argv[1:]
        if "=" in word and not word.startswith("-") and word.split("=")[0].lstrip("+~") != full_key
    ]
    try:
        register_schema()
        cfg = compose_config(_config_name, others)
        node = OmegaConf.select(cfg, parent) if parent else cfg
        keys = sorted(str(key) for key in node if key != "_target_" and key != "_partial_")
    except Exception:
        return ""
    where = f"{parent} has" if parent else "there are"
    return f", {where}: {', '.join(keys)}" if keys else ""


def _chosen(group: str, choice: str) -> bool:
    return any(
        word.startswith(f"{group}=") and choice in re.split(r"[=,\[\]]", word)
        for word in sys.argv[1:]
    )


_REWRITES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (
        r"Could not find '(\w+)/([^']+)'\s+Available options in '[^']+':\s+"
        r"(.*?)\s*(?:Config search|$)",
        _no_such_choice,
    ),
    (r"Could not override '([^']+)'.*not in struct", _no_such_option),
    (r"Could not override '([^']+)'.*No match in the defaults list", _no_such_option),
    (r"Key '([^']+)' not in '\w*Config'", _no_such_option),
    (
        r"unexpected keyword argument '(\w+)'.*full_key: (\S+)",
        lambda m: f"{m[2]}.{m[1]} does not exist{_choices_beside(f'{m[2]}.{m[1]}')}",
    ),
    (
        r"Error parsing override '([^']*)'\s+(.*?)(?:\s+See https\S*)?$",
        lambda m: f"cannot read {m[1]!r}, write NAME=VALUE ({' '.join(m[2].split())})",
    ),
    (
        r"Value '([^']*)' of type '\w+' could not be converted to (\w+)\s+full_key: (\S+)",
        lambda m: f"{m[3]} must be of type {m[2]}, got {m[1]}",
    ),
    (
        r"Missing mandatory value: (\S+)",
        lambda m: f"{m[1]} has no default, give it as {m[1]}=...",
    ),
    (
        r"override must be a string or a list. Got NoneType",
        lambda m: "a group cannot be null, write none instead, as in technique=none",
    ),
)
