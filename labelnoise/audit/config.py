"""The schema of conf/audit.yaml, and the configuration of each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from labelnoise.checks import COUNT, whole
from labelnoise.config import CONF_DIR, composition
from labelnoise.config.composition import Config, compose_config
from labelnoise.config.options import check_value
from labelnoise.errors import InputError
from labelnoise.processes.devices import cores

# Keys of an audit that a run does not have.
RANGES = {"folds": whole(2, 100), "jobs": COUNT}
ONLY_AUDIT = (*RANGES, "baseline")
# Monitors that write what an audit reads.
NEEDED_MONITORS = ("dynamics", "held_out")


@dataclass
class AuditConfig(Config):
    """Types of the keys that an audit has in addition to those of a run."""

    folds: int = MISSING
    jobs: int | None = MISSING
    baseline: Any = MISSING  # not bool: OmegaConf would convert any number to true


@cache
def register_schema() -> None:
    """Register the schemas (``audit_schema`` and ``schema`` in the defaults lists) with Hydra."""
    composition.register_schema()
    ConfigStore.instance().store(name="audit_schema", node=AuditConfig)


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """Compose as ``python audit.py OVERRIDES`` would, for notebooks and tests.

    Example:
        >>> compose(["data=digits", "folds=3"]).folds
        3
    """
    register_schema()
    return compose_config("audit", overrides)


def check(cfg: DictConfig) -> None:
    """Check everything that does not depend on the data, before slow imports.

    Raises:
        InputError: one line with the bad value and the allowed values.
    """
    composition.check(cfg, AuditConfig)
    check_value("folds", cfg.folds, int, RANGES["folds"])
    check_value("jobs", cfg.jobs, int | None, RANGES["jobs"])
    check_value("baseline", cfg.baseline, bool, None)
    if cfg.resume is not None:
        raise InputError(
            "resume= is for run.py; the same audit command with its name= continues it"
        )
    if cfg.data.get("fold") is not None:
        raise InputError("data.fold cannot be set: an audit sets it for each of its folds")


def jobs_of(cfg: DictConfig, gpus: int = 0) -> int:
    """The number of folds that train at the same time: ``jobs``, or one for each GPU or core."""
    default = gpus or max(1, cores() // (cfg.threads or 1))
    asked = cfg.jobs if cfg.jobs is not None else default
    return int(min(asked, cfg.folds))


def fold_config(cfg: DictConfig, fold: int) -> DictConfig:
    """The configuration of the run that holds out fold ``fold``."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    for key in ONLY_AUDIT:
        del plain[key]
    plain["data"]["fold"] = [fold, cfg.folds]
    plain["name"], plain["rerun"], plain["report"] = f"{cfg.name}/fold_{fold}", False, "none"
    run = OmegaConf.create(plain)
    for name in NEEDED_MONITORS:
        if name not in run.monitor:
            run.monitor.update(OmegaConf.load(CONF_DIR / "monitor" / f"{name}.yaml"))
    OmegaConf.resolve(run)
    return run
