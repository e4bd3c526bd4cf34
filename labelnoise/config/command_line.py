"""Shared by run.py, phase_diagram.py and the reports: bad input ends with one line on stderr.

The exit status is then 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from labelnoise.config.own_parts import check_own_names, config_dir_of, config_file
from labelnoise.config.places import remove_made
from labelnoise.config.words import check_words, replace_launchers
from labelnoise.errors import InputError
from labelnoise.processes.alone import check_alone
from labelnoise.processes.interrupts import interruptible

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


def _refuse_flag(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    """Replaces the usage page that Hydra's parser prints for words that it cannot read."""
    raise InputError(f"{message} (write -m and other flags first, see --help)")


def exit_with_one_line(error: Exception) -> None:
    line = explain(error)
    if line is not None and not _TRACEBACKS:
        sys.stderr.write(f"error: {line}\n")
        raise SystemExit(1) from None


def explain(error: BaseException) -> str | None:
    """The line for a user's error; None for other errors."""
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
    line = f"{group}={choice} does not exist, choose from: {', '.join(options.split())}"
    if group not in ("hydra/launcher", "hydra/sweeper"):
        return line
    package = f"hydra-{choice.split('_')[0]}-{group.rpartition('/')[2]}"
    return f"{line}; if it is a plugin of Hydra's, install it: pip install {package}"


def _no_such_option(match: re.Match[str]) -> str:
    full_key = match[1]
    return f"{full_key} does not exist{_existing_options(full_key)}"


def _existing_options(full_key: str) -> str:
    """The options that exist next to a misspelt one, found by composing without it."""
    from labelnoise.config.composition import compose_config, register_schema

    group, _, choice = full_key.rpartition(".")[0].partition(".")
    if choice and config_file(group, choice) and not _chosen(group, choice):
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
        r"Could not find '([^']+)/([^'/]*)'\s+Available options in '[^']+':\s+"
        r"(.*?)\s*(?:Config search|$)",
        _no_such_choice,
    ),
    (r"Could not override '([^']+)'.*not in struct", _no_such_option),
    (r"Could not override '([^']+)'.*No match in the defaults list", _no_such_option),
    (r"Key '([^']+)' not in '\w*Config'", _no_such_option),
    (
        r"unexpected keyword argument '(\w+)'.*full_key: (\S+)",
        lambda m: f"{m[2]}.{m[1]} does not exist{_existing_options(f'{m[2]}.{m[1]}')}",
    ),
    (
        r"Error parsing override '([^']*)'\s+(.*?)(?:\s+See https\S*)?$",
        lambda m: f"cannot read {m[1]!r}, write NAME=VALUE ({' '.join(m[2].split())})",
    ),
    (
        r"Value '(.*?)' of type '\w+' could not be converted to (\w+)\s+full_key: (\S+)",
        lambda m: f"{m[3]} must be of type {m[2]}, got {m[1]}",
    ),
    (
        r"Missing mandatory value: (\S+)",
        lambda m: f"{m[1]} has no default, give it as {m[1]}=...",
    ),
    (
        r"Cannot convert '(\w+)' to string: '(.*)'\s+full_key: (\S+)",
        lambda m: f"{m[3]} must be a word, got {m[2]}",
    ),
    (
        r"Cannot merge DictConfig with ListConfig\s+full_key: (\S+)",
        lambda m: f"{m[1]} is not a list: set its options as {m[1]}.NAME=VALUE",
    ),
    (
        r"field '([^']+)' is not Optional",
        lambda m: f"{m[1]} cannot be null, leave it out for its default",
    ),
    (
        r"Ambiguous value for argument '(\w+)=([^']*)'",
        lambda m: (
            f"{m[1]}={m[2]} is two choices: write {m[1]}=[{m[2]}] for both in one run, "
            "or -m first for one run each"
        ),
    ),
    (
        r"LexerNoViableAltException: (.*?)\n",
        lambda m: (
            f"cannot read {m[1]}, put quotes around unusual characters, as name=\"'Übung {{1}}'\""
        ),
    ),
    (
        r"no viable alternative at input '(.*?)'",
        lambda m: f"cannot read {m[1]}, a bracket or a quote is not closed there",
    ),
    (
        r"Interpolation key '([^']+)' not found\s+full_key: (\S+)",
        lambda m: f"{m[2]} refers to {m[1]}, which does not exist",
    ),
    (
        r"raised while resolving interpolation: \"?(.*?)\"?\s+full_key: (\S+)",
        lambda m: f"{m[2]} cannot be resolved: {m[1]}",
    ),
    (
        r"Error in call to target '([^']*)':.*missing \d+ required (?:positional|keyword-only) "
        r"arguments?: ([\w', ]+)[^\n]*\s*(?:full_key: (\S+)|$)",
        lambda m: (
            f"{m[3] or m[1]} lacks the arguments {m[2]}: write _partial_: true in its YAML file if "
            "the run adds them, or write them as options"
        ),
    ),
    (
        r"Error in call to target '[^']*':\s+\w+\((['\"])(.*)\1\).*?(?:full_key: (\S+)|$)",
        lambda m: f"{m[3] or 'this configuration'} cannot be built: {' '.join(m[2].split())}",
    ),
    (
        r"override must be a string or a list. Got (?!None)(\w+)",
        lambda m: "a choice must be a name or a list of names, as technique=[a,b]",
    ),
    (
        r"override must be a string or a list. Got NoneType",
        lambda m: (
            "a group cannot be null, write none instead, as in technique=none, or leave it out"
        ),
    ),
)
