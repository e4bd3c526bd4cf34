"""The schema of conf/phase_diagram.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from labelnoise.config.composition import check_places, compose_config
from labelnoise.config.options import check_value
from labelnoise.config.ranges import SEED, Range

# Larger numbers are typing errors: seeds are 64-bit integers, and memory is at most terabytes.
_RANGES = {"seed": SEED, "memory_limit_mb": Range(0, 10**7, above=True)}


@dataclass
class PhaseDiagramConfig:
    """Types of the keys; conf/phase_diagram.yaml has their documentation and values."""

    x: Any = MISSING
    y: Any = MISSING
    panels: Any = MISSING
    setting: Any = MISSING
    steps: int = MISSING
    seed: int = MISSING
    seeds: int = MISSING
    test_samples: int = MISSING
    test_at: str | None = MISSING
    logged_per_decade: int = MISSING
    figure: Any = MISSING
    dtype: str = MISSING
    device: str = MISSING
    memory_limit_mb: float = MISSING
    blocks: int = MISSING
    block: int | None = MISSING
    merge: Any = MISSING
    output_dir: str = MISSING
    name: str = MISSING


def register_schema() -> None:
    """Register the schema (``phase_diagram_schema`` in the defaults list) with Hydra."""
    ConfigStore.instance().store(name="phase_diagram_schema", node=PhaseDiagramConfig)


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """Compose as ``python phase_diagram.py OVERRIDES`` would, for notebooks and tests.

    Example:
        >>> compose(["diagram=benign_map"]).x.points
        100
    """
    register_schema()
    return compose_config("phase_diagram", overrides)


def check(cfg: DictConfig) -> None:
    """Check the configuration before slow imports.

    Raises:
        InputError: one line with the bad value and the allowed values.
    """
    check_places(cfg, PhaseDiagramConfig)
    for key, bounds in _RANGES.items():
        check_value(key, cfg[key], None, bounds)
    if OmegaConf.is_dict(cfg.figure):
        check_value("figure.title", cfg.figure.get("title"), str | None, None)
