"""The schema of conf/phase_diagram.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from labelnoise.checks import COUNT, SEED, Range, check_number, whole
from labelnoise.config.composition import check_places, compose_config
from labelnoise.config.options import check_value

RANGES = {
    "steps": whole(1, 10**8),
    "seed": SEED,
    "seeds": whole(1, 10**6),
    "test_samples": whole(1, 10**7),
    "logged_per_decade": whole(1, 10**4),
    "memory_limit_mb": Range(0, 10**7, above=True),  # memory ends at terabytes
    "blocks": COUNT,
}


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


@cache
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
    for key, allowed in RANGES.items():
        check_number(key, cfg[key], allowed)
    if OmegaConf.is_dict(cfg.figure):
        check_value("figure.title", cfg.figure.get("title"), str | None, None)
