"""Whole settings of techniques by name: ``technique_preset=paper``, the constants of the papers.

An option in conf/technique/NAME.yaml that presets know is ``${preset:NAME.option,value}``: the
preset's value where one is chosen, else the value written there. What a user types takes the place
of both.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from labelnoise.errors import InputError

# Of a rule: when it holds, and where it is from. The other keys are options.
_GROUPS = ("data", "noise")
_CONDITIONS = (*_GROUPS, "beside")  # the latter: any of these techniques in the same run
_ABOUT = (*_CONDITIONS, "source")
# The preset that leaves a technique without rules as its own file has it; a file is no substitute
# for a paper's constants.
_OWN_FILE = "one"


def preset(key: str, default: Any, *, _root_: DictConfig) -> Any:
    """The OmegaConf resolver: the chosen preset's value of ``NAME.option``, or ``default``."""
    name, option = key.split(".", 1)
    rule = find_rule(_root_, name)
    return default if rule is None else rule.get(option, default)


def register_presets() -> None:
    """Make ``${preset:...}`` known to OmegaConf."""
    OmegaConf.register_new_resolver("preset", preset, replace=True)


def find_rule(cfg: DictConfig, technique: str) -> dict[str, Any] | None:
    """The options of the first rule for ``technique`` that holds for a run.

    None where no preset is chosen, or none of its rules holds.
    """
    for rule in (cfg.technique_preset.get("rules") or {}).get(technique) or ():
        if _holds(rule, cfg):
            return {str(key): value for key, value in rule.items() if key not in _ABOUT}
    return None


def preset_name(cfg: DictConfig) -> str:
    """What ``technique_preset`` was chosen; a run begun by an earlier version has none."""
    return str((cfg.get("technique_preset") or {"name": "none"})["name"])


def check_preset(cfg: DictConfig) -> None:
    """Refuse a preset that says nothing about a technique on these data and this noise.

    Raises:
        InputError: names the preset, the technique, and what the preset has.
    """
    name = preset_name(cfg)
    if name == "none":
        return
    rules = cfg.technique_preset.rules
    for technique in cfg.technique:
        if find_rule(cfg, str(technique)) is not None:
            continue
        if name == _OWN_FILE and technique not in rules:
            continue
        chosen = " and ".join(f"{group}={choice_of(cfg, group)}" for group in _GROUPS)
        known = [_condition(rule) for rule in rules.get(technique) or ()]
        has = f"it has {' or '.join(known)}" if known else f"it has {', '.join(sorted(rules))}"
        raise InputError(
            f"technique_preset={name} has no entry for {technique} with {chosen}, "
            f"{has}: choose technique_preset=none and set its options"
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
    """The file of conf/GROUP that a part of the configuration was chosen from, "symmetric" say."""
    return _choices(group).get(str(cfg[group].get("_target_")), "something else")


@cache
def _choices(group: str) -> dict[str, str]:
    from labelnoise.config import CONF_DIR

    found = {}
    for path in sorted(Path(CONF_DIR, group).glob("*.yaml")):
        node = OmegaConf.load(path)
        assert isinstance(node, DictConfig)
        target = node.get("_target_") or node.get(group, {}).get("_target_")
        found[str(target)] = path.stem
    return found
