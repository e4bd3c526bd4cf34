"""Presets: named settings of all techniques, for example ``technique_preset=paper``.

An option in conf/technique/NAME.yaml with presets is written ``${preset:NAME.option,value}``. It
resolves to the value of the chosen preset, or else to ``value``. A value on the command line
replaces both.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from labelnoise.config.own_parts import config_file, config_files
from labelnoise.errors import InputError

# Keys of a rule that are conditions; with "source" and the options they make a rule.
_GROUPS = ("data", "noise")
_CONDITIONS = (*_GROUPS, "beside")  # "beside": other techniques in the same run
_ABOUT = (*_CONDITIONS, "source")
# In this preset a technique without rules has the values of its own file. In other presets this is
# an error, because the own file does not have the constants of a paper.
_OWN_FILE = "one"


def preset(key: str, default: Any, *, _root_: DictConfig) -> Any:
    """The OmegaConf resolver: the value of ``NAME.option`` in the preset, or ``default``."""
    name, option = key.split(".", 1)
    rule = find_rule(_root_, name)
    return default if rule is None else rule.get(option, default)


def register_presets() -> None:
    """Register the resolver ``${preset:...}`` with OmegaConf."""
    OmegaConf.register_new_resolver("preset", preset, replace=True)


def find_rule(cfg: DictConfig, technique: str) -> dict[str, Any] | None:
    """The options of the first rule for ``technique`` that applies to a run.

    None if no preset is chosen or no rule applies.
    """
    for rule in (cfg.technique_preset.get("rules") or {}).get(technique) or ():
        if _holds(rule, cfg):
            return {str(key): value for key, value in rule.items() if key not in _ABOUT}
    return None


def preset_name(cfg: DictConfig) -> str:
    """The chosen ``technique_preset``; "none" for a run from a version without presets."""
    return str((cfg.get("technique_preset") or {"name": "none"})["name"])


def check_preset(cfg: DictConfig) -> None:
    """Refuse a preset without a rule for a technique with these data and this noise.

    Raises:
        InputError: names the preset, the technique, and the entries of the preset.
    """
    name = preset_name(cfg)
    if name == "none":
        return
    rules = cfg.technique_preset.rules
    for technique in cfg.technique:
        rule = find_rule(cfg, str(technique))
        if rule is not None:
            _check_read(name, str(technique), rule)
            continue
        if name == _OWN_FILE and technique not in rules:
            continue
        chosen = " and ".join(f"{group}={choice_of(cfg, group)}" for group in _GROUPS)
        known = [_condition(rule) for rule in rules.get(technique) or ()]
        has = f"it has {' or '.join(known)}" if known else f"it has {', '.join(sorted(rules))}"
        raise InputError(
            f"technique_preset={name} has no entry for {technique} with {chosen}, "
            f"{has}: choose technique_preset=none and set the options of {technique}"
        )


def _check_read(name: str, technique: str, rule: Mapping[str, Any]) -> None:
    """Refuse a rule for an option that the technique's file does not read from presets."""
    file = config_file("technique", technique)
    text = "" if file is None else file.read_text()
    ignored = [option for option in rule if f"{{preset:{technique}.{option}," not in text]
    if ignored:
        key = f"{technique}.{ignored[0]}"
        raise InputError(
            f"technique_preset={name} has a value for {key}, but {technique}.yaml does not read "
            f"it: write {ignored[0]}: ${{preset:{key},DEFAULT}} there"
        )


def _holds(rule: DictConfig, cfg: DictConfig) -> bool:
    here = {**{group: {choice_of(cfg, group)} for group in _GROUPS}, "beside": set(cfg.technique)}
    return all(here[key] & set(_words(rule[key])) for key in _CONDITIONS if key in rule)


def _condition(rule: DictConfig) -> str:
    parts = [f"{g}={'|'.join(_words(rule[g]))}" for g in _CONDITIONS if g in rule]
    return " with ".join(parts) or "any"


def _words(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value]


def choice_of(cfg: DictConfig, group: str) -> str:
    """The name of the file of GROUP for a part of the configuration, such as "symmetric"."""
    choices = _choices(group, tuple(config_files(group)))
    return choices.get(str(cfg[group].get("_target_")), "something else")


@cache
def _choices(group: str, files: tuple[Path, ...]) -> dict[str, str]:
    found = {}
    for path in files:
        node = OmegaConf.load(path)
        assert isinstance(node, DictConfig)
        target = node.get("_target_") or node.get(group, {}).get("_target_")
        found[str(target)] = path.stem
    return found
