"""The schema of the configuration, and its checks that need no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from labelnoise.config import CONF_DIR, score
from labelnoise.config.options import check_ranges, check_value
from labelnoise.config.own_parts import own_config_dir
from labelnoise.config.places import check_name
from labelnoise.config.presets import check_preset, register_presets
from labelnoise.config.ranges import TOP
from labelnoise.config.targets import check_targets
from labelnoise.config.words import LISTS, SINGLE, check_lists
from labelnoise.errors import InputError

# Keys that the configuration of a run from an earlier version may lack.
_ADDED = (
    "channels_last",
    "compile",
    "keep_checkpoint_every_n_epochs",
    "rerun",
    "allow_targets",
    "figures",
    "report",
    "score",
)

# Keys for the place, display and score of a run or an audit. They do not change its results.
NOT_PART_OF_THE_RUN = (
    "name",
    "output_dir",
    "resume",
    "rerun",
    "logger",
    "allow_targets",
    "figures",
    "report",
    "score",
    "jobs",
)
# Options of ``data`` that change the place of the images but no result.
NOT_PART_OF_THE_DATA = ("cache", "cache_dir")


@dataclass
class Config:
    """Types of the top-level keys; conf/config.yaml has their documentation and values."""

    data: Any = MISSING
    noise: Any = MISSING
    model: Any = MISSING
    optimizer: Any = MISSING
    scheduler: Any = MISSING
    technique: Any = MISSING
    technique_preset: Any = MISSING
    monitor: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    noise_rate: float = MISSING
    seed: int = MISSING
    max_steps: int = MISSING
    max_epochs: int = MISSING
    batch_size: int | None = MISSING
    log_every_n_steps: int | None = MISSING
    eval_every_n_steps: int | None = MISSING
    checkpoint_every_n_steps: int | None = MISSING
    keep_checkpoint_every_n_epochs: int | None = MISSING
    threads: int | None = MISSING
    channels_last: Any = MISSING  # not bool: OmegaConf would convert any number to true
    compile: Any = MISSING
    output_dir: str = MISSING
    name: str = MISSING
    resume: str | None = MISSING
    rerun: Any = MISSING
    figures: Any = MISSING
    report: Any = MISSING  # as score
    score: Any = MISSING  # not Literal, which OmegaConf does not support
    allow_targets: Any = MISSING


_TOP_TYPES = {key: hint for key, hint in get_type_hints(Config).items() if hint is not Any} | {
    "channels_last": bool,
    "compile": bool,
    "rerun": bool,
    "figures": bool,
    "report": Literal["none", "html"],
    "score": score.Name,
}


@cache
def register_schema() -> None:
    """Register the schema (``schema`` in the defaults list) and our resolvers with Hydra."""
    ConfigStore.instance().store(name="schema", node=Config)
    register_presets()


def check(cfg: DictConfig, schema: type[Config] = Config) -> None:
    """Check everything that does not depend on the data, before slow imports.

    Raises:
        InputError: one line with the bad value and the allowed values.
    """
    check_stored(cfg, schema)
    check_preset(cfg)


def check_stored(cfg: DictConfig, schema: type[Config] = Config) -> None:
    """Check the configuration of a run that was started before, whose presets are values by now.

    Raises:
        InputError: as :func:`check`.
    """
    check_places(cfg, schema)
    _check_top(cfg)
    for group in SINGLE:
        _check_part(group, cfg.get(group))
    for group in LISTS:
        _check_nodes(group, cfg.get(group))
    check_targets(cfg)
    check_ranges(cfg)


def _check_top(cfg: DictConfig) -> None:
    """Check the top-level keys; keys of ``_ADDED`` may be missing."""
    for key, hint in _TOP_TYPES.items():
        if key in cfg or key not in _ADDED:
            check_value(key, cfg.get(key), hint, TOP.get(key))
    if 0 in (cfg.max_steps, cfg.max_epochs) or (cfg.max_steps < 1 and cfg.max_epochs < 1):
        raise InputError(
            f"set max_steps or max_epochs to at least 1, got max_steps={cfg.max_steps} and "
            f"max_epochs={cfg.max_epochs} (-1 means no limit; only one of the two may be -1)"
        )
    if cfg.max_steps < 1 and "steps" in (cfg.get("data") or {}):
        raise InputError(
            f"max_steps must be at least 1 because these data count the training in steps, got "
            f"{cfg.max_steps}"
        )
    for key in ("max_steps", "max_epochs"):
        inner = (cfg.get("trainer") or {}).get(key)
        if inner is not None and inner != cfg[key]:
            raise InputError(
                f"trainer.{key}={inner} contradicts {key}={cfg[key]}: write {key}={inner} alone"
            )


def check_places(cfg: DictConfig, schema: type) -> None:
    """Refuse unknown keys, missing values, and an empty name or output directory.

    Raises:
        InputError: one line with the bad key and the allowed keys.
    """
    for key in sorted(OmegaConf.missing_keys(cfg)):
        raise InputError(f"{key} has no default, give it as {key}=...")
    known = [field.name for field in fields(schema)]
    if unknown := sorted(str(key) for key in set(cfg) - set(known)):
        raise InputError(f"{unknown[0]} does not exist, there are: {', '.join(known)}")
    for key in ("name", "output_dir"):
        if not cfg.get(key):
            raise InputError(f"{key} is empty: give a folder, or leave {key}= out")
    check_name(cfg.name)


def _check_part(group: str, node: Any) -> None:
    if not OmegaConf.is_dict(node) or ((group != "scheduler" or node) and "_target_" not in node):
        raise InputError(f"{group} must be a choice as {group}=NAME, got {node}")


def _check_nodes(group: str, nodes: Any) -> None:
    if not OmegaConf.is_dict(nodes):
        raise InputError(f"{group} must be a choice as {group}=NAME, got {nodes}")
    for name, node in nodes.items():
        if not OmegaConf.is_dict(node) or "_target_" not in node:
            raise InputError(
                f"{group}.{name} has no _target_: choose it as {group}={name}, or as a list, "
                f"{group}=[{name},...], instead of setting its options alone"
            )


def run_config(cfg: DictConfig) -> dict[str, Any]:
    """The resolved part of the configuration that determines the results of the run."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    if isinstance(plain.get("data"), dict):
        data = plain["data"].items()
        plain["data"] = {k: v for k, v in data if k not in NOT_PART_OF_THE_DATA}
    return {str(k): v for k, v in plain.items() if k not in NOT_PART_OF_THE_RUN}


def config_hash(cfg: DictConfig) -> str:
    """Twelve hexadecimal digits; equal for configurations of the same run."""
    text = OmegaConf.to_yaml(OmegaConf.create(run_config(cfg)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(ours: DictConfig, theirs: DictConfig) -> list[str]:
    """The keys with different values, as ``key: OURS instead of THEIRS``."""
    return changes(flat(run_config(ours)), flat(run_config(theirs)))


def changes(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], shown: Callable[[Any], str] = str
) -> list[str]:
    """As :func:`differences`, of flat mappings; ``shown`` writes a value."""
    keys = sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    return [f"{k}: {shown(ours.get(k))} instead of {shown(theirs.get(k))}" for k in keys]


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """The values of nested mappings by their paths, such as ``data.n``."""
    if not isinstance(node, dict):
        return {prefix[:-1]: node}
    return {k: v for key, sub in node.items() for k, v in flat(sub, f"{prefix}{key}.").items()}


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """Compose the configuration as ``python run.py OVERRIDES`` would, for notebooks and tests.

    Example:
        >>> compose(["noise_rate=0.3"]).noise_rate
        0.3
    """
    register_schema()
    return compose_config("config", overrides)


def compose_config(name: str, overrides: Sequence[str]) -> DictConfig:
    """Compose conf/NAME.yaml as its command would; its schema must be registered.

    A ``--config-dir`` of the command is read too.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    check_lists(overrides)
    own = own_config_dir()
    path = [] if own is None else [f"hydra.searchpath=[file://{own}]"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return hydra_compose(name, overrides=[*overrides, *path])
