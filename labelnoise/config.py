"""The configuration's schema, and every check of it that needs no torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from labelnoise.errors import InputError
from labelnoise.presets import check_preset, register_presets

CONF_DIR = Path(__file__).resolve().parents[1] / "conf"

# Where a run lies and how it is shown; two runs that differ in these alone are the same run.
NOT_PART_OF_THE_RUN = ("name", "output_dir", "resume", "rerun", "logger")


@dataclass
class Config:
    """Types of the top-level keys; conf/config.yaml documents them and holds their values."""

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
    channels_last: bool = MISSING
    compile: bool = MISSING
    output_dir: str = MISSING
    name: str = MISSING
    resume: str | None = MISSING
    rerun: bool = MISSING


def register_schema() -> None:
    """Make the schema and our resolvers known to Hydra, ``schema`` for the defaults list."""
    ConfigStore.instance().store(name="schema", node=Config)
    register_presets()


def check(cfg: DictConfig) -> None:
    """Refuse what is wrong whatever the data turn out to be, before anything slow is imported.

    Raises:
        InputError: one line that says what came and what is allowed.
    """
    check_places(cfg, Config)
    rate = cfg.noise_rate
    if not math.isfinite(rate) or not 0 <= rate < 1:
        raise InputError(
            f"noise_rate must be a number from 0 to below 1, got {rate}: 0.2 makes a fifth of the "
            "labels wrong"
        )
    if cfg.seed < 0:
        raise InputError(f"seed must be 0 or more, got {cfg.seed}")
    if cfg.max_steps < 1 and cfg.max_epochs < 1:
        raise InputError(
            f"set max_steps or max_epochs to at least 1, got max_steps={cfg.max_steps} and "
            f"max_epochs={cfg.max_epochs} (-1 means no limit, for one of the two)"
        )
    for key in (
        "batch_size",
        "threads",
        "keep_checkpoint_every_n_epochs",
        *(f"{what}_every_n_steps" for what in ("log", "eval", "checkpoint")),
    ):
        if cfg[key] is not None and cfg[key] < 1:
            raise InputError(f"{key} must be at least 1 or null, got {cfg[key]}")
    batches = cfg.trainer.get("accumulate_grad_batches", 1)
    if not isinstance(batches, int) or batches < 1:
        raise InputError(f"trainer.accumulate_grad_batches must be at least 1, got {batches}")
    if cfg.trainer.get("limit_train_batches") == 0:
        raise InputError(
            "trainer.limit_train_batches is 0, which trains on nothing: write 1 or more"
        )
    rate = cfg.optimizer.lr
    if not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise InputError(f"optimizer.lr must be a number above 0, got {rate}")
    for group in ("technique", "monitor", "logger"):
        _check_nodes(group, cfg[group])
    check_preset(cfg)


def check_places(cfg: DictConfig, schema: type) -> None:
    """Refuse keys that a door does not know or has no value for, and a directory without a name.

    Raises:
        InputError: one line that says what came and what is allowed.
    """
    for key in sorted(OmegaConf.missing_keys(cfg)):
        raise InputError(f"{key} has no default, give it as {key}=...")
    known = [field.name for field in fields(schema)]
    if unknown := sorted(str(key) for key in set(cfg) - set(known)):
        raise InputError(f"{unknown[0]} does not exist, there are: {', '.join(known)}")
    for key in ("name", "output_dir"):
        if not cfg[key]:
            raise InputError(f"{key} is empty: give a folder, or leave {key}= out")


def _check_nodes(group: str, nodes: Any) -> None:
    for name, node in (nodes or {}).items():
        if not OmegaConf.is_dict(node) or "_target_" not in node:
            raise InputError(
                f"{group}.{name} has no _target_: choose it as {group}={name}, or as a list, "
                f"{group}=[{name},...], instead of setting its options alone"
            )


def run_config(cfg: DictConfig) -> dict[str, Any]:
    """The resolved part of the configuration that determines the run's results."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    return {str(k): v for k, v in plain.items() if k not in NOT_PART_OF_THE_RUN}


def config_hash(cfg: DictConfig) -> str:
    """Twelve hexadecimal digits that two configurations share when they make the same run."""
    text = OmegaConf.to_yaml(OmegaConf.create(run_config(cfg)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(ours: DictConfig, theirs: DictConfig) -> list[str]:
    """The keys in which two configurations differ, as ``key: ours instead of theirs``."""
    a, b = _flat(run_config(ours)), _flat(run_config(theirs))
    keys = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
    return [f"{key}: {a.get(key)} instead of {b.get(key)}" for key in keys]


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict):
        return {prefix[:-1]: node}
    return {k: v for key, sub in node.items() for k, v in _flat(sub, f"{prefix}{key}.").items()}


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """Compose the configuration as ``python run.py OVERRIDES`` would, for notebooks and tests.

    Example:
        >>> compose(["noise_rate=0.3"]).noise_rate
        0.3
    """
    register_schema()
    return compose_config("config", overrides)


def compose_config(name: str, overrides: Sequence[str]) -> DictConfig:
    """Compose conf/NAME.yaml, whose schema is registered, as its door would."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return hydra_compose(name, overrides=list(overrides))
