"""One-line messages for the errors of Hydra, OmegaConf and YAML."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence

import yaml
from omegaconf import OmegaConf

from labelnoise.config.hints import did_you_mean, keys_of, meant, nearest
from labelnoise.config.own_parts import config_file, config_files
from labelnoise.config.words import LISTS

# The name of the file in conf/ whose composition failed.
_config_name = "config"
# OmegaConf's names of the types in words.
_TYPES = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}


def raised_in_hydra(error: BaseException) -> bool:
    """Whether the innermost frame of the error is in Hydra."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("hydra.")


def explain_hydra(error: BaseException, config_name: str) -> str:
    """The line for an error of Hydra or OmegaConf in the composition of conf/CONFIG_NAME.yaml."""
    global _config_name
    _config_name = config_name
    text = str(error)
    if error.__cause__ is not None and str(error.__cause__) not in text:
        text += f"\n{error.__cause__}"
    for pattern, rewrite in _REWRITES:
        if match := re.search(pattern, text, re.DOTALL):
            return rewrite(match)
    return " ".join(text.split())


def explain_yaml(error: BaseException) -> str | None:
    """The line for a file of the user that is not YAML; None for other errors."""
    if isinstance(error, UnicodeDecodeError) and (path := _being_loaded(error)):
        return f"{path} cannot be read ({error.reason}): write YAML in UTF-8"
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark):
        where = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}"
        return f"{where} cannot be read as YAML ({error.problem}): mend this line"
    if isinstance(error, yaml.reader.ReaderError):
        return f"{error.name} cannot be read as YAML ({error.reason}): write YAML in UTF-8"
    return None


def _being_loaded(error: BaseException) -> str | None:
    """The configuration file that Hydra was loading when the error was raised."""
    found, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").endswith("file_config_source"):
            found = trace.tb_frame.f_locals.get("full_path") or found
        trace = trace.tb_next
    return found


def _no_such_choice(match: re.Match[str]) -> str:
    group, choice, options = match.groups()
    line = _no_choice(group, choice, options.split())
    if group not in ("hydra/launcher", "hydra/sweeper"):
        return line
    package = f"hydra-{choice.split('_')[0]}-{group.rpartition('/')[2]}"
    return f"{line}; if it is a plugin of Hydra's, install it: pip install {package}"


def _no_choice(group: str, choice: str, there: Sequence[str]) -> str:
    hint = did_you_mean(nearest(choice, there))
    return f"{group}={choice} does not exist{hint or ','} {'C' if hint else 'c'}hoose from: " + (
        ", ".join(there)
    )


def _no_such_option(match: re.Match[str]) -> str:
    full_key = match[1]
    return f"{full_key} does not exist{_existing_options(full_key)}"


def _existing_options(full_key: str) -> str:
    """The options that exist next to a misspelt one, found by composing without it."""
    from labelnoise.config.composition import compose_config, register_schema

    if full_key.startswith("hydra."):
        return ": python run.py --cfg hydra prints the options of Hydra"
    group, _, choice = full_key.rpartition(".")[0].partition(".")
    file = config_file(group, choice) if choice else None
    if file is not None and not _chosen(group, choice):
        keys = keys_of(yaml.safe_load(file.read_text("utf-8")) or {}, f"{group}.")
        hint = did_you_mean([] if full_key in keys else meant(full_key, keys))
        return hint or f" without {group}={choice}: write both"
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
        whole = OmegaConf.to_container(cfg)
    except Exception:
        return ""
    assert isinstance(whole, dict)
    known = keys_of({str(key): value for key, value in whole.items()})
    if hint := did_you_mean(meant(full_key, known)):
        return hint
    where = f"{parent} has" if parent else "there are"
    return f", {where}: {', '.join(keys)}" if keys else ""


def _chosen(group: str, choice: str) -> bool:
    return any(
        word.startswith(f"{group}=") and choice in re.split(r"[=,\[\]]", word)
        for word in sys.argv[1:]
    )


def _no_part(match: re.Match[str]) -> str:
    """Hydra's message for one missing choice of a list has no list of the choices."""
    group, choice = match.groups()
    return _no_choice(group, choice, [*dict.fromkeys(p.stem for p in config_files(group))])


_REWRITES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (
        r"Could not find '([^']+)/([^'/]*)'\s+Available options in '[^']+':\s+"
        r"(.*?)\s*(?:Config search|$)",
        _no_such_choice,
    ),
    (r"Could not override '([^']+)'.*not in struct", _no_such_option),
    (r"Could not override '([^']+)'.*No match in the defaults list", _no_such_option),
    (r"Could not override '(hydra\.[^']+)'", _no_such_option),
    (
        r"does not support sweep type",
        lambda m: (
            "interval(...) is for a search: write values as optimizer.lr=0.1,1, or add "
            "hydra/sweeper=optuna"
        ),
    ),
    (r"Key '([^']+)' not in '\w*Config'", _no_such_option),
    (r"Could not delete from config\. '([^']+)' does not exist", _no_such_option),
    (r"Could not load '([^']+)/([^'/]+)'", _no_part),
    (
        r"Additional config directory '(.*)' not found",
        lambda m: f"--config-dir {m[1]} is not a folder: give the folder of your own YAML files",
    ),
    (
        r"(?:Cannot find primary config|Primary config module) '([^']+)'",
        lambda m: (
            f"--config-name and --config-path cannot be set, got {m[1]}: your own files go into a "
            "folder for --config-dir"
        ),
    ),
    (
        r"unexpected keyword argument '(\w+)'.*full_key: (\S+)",
        lambda m: f"{m[2]}.{m[1]} does not exist{_existing_options(f'{m[2]}.{m[1]}')}",
    ),
    (
        r"Error parsing override '([^']*)'",
        lambda m: f"cannot read {m[1]!r}, write NAME=VALUE",
    ),
    (
        r"Value '(.*?)' of type '\w+' could not be converted to (\w+)\s+full_key: (\S+)",
        lambda m: f"{m[3]} must be {_TYPES.get(m[2], m[2])}, got {m[1] or repr(m[1])}",
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
        r"Ambiguous value for argument '([^'=]+)=([^']*)'",
        lambda m: (
            f"{m[1]}={m[2]} is two choices: write "
            + (f"{m[1]}=[{m[2]}] for both in one run, or " if m[1] in LISTS else "one of them, or ")
            + "-m first for one run each"
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
