"""Rows from the tables of the product: unknown choices, and numbers just outside their ranges."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

from omegaconf import DictConfig

from labelnoise.audit.config import RANGES as AUDIT
from labelnoise.checks import Range
from labelnoise.config import CONF_DIR
from labelnoise.config.composition import compose
from labelnoise.config.ranges import TOP, range_of
from labelnoise.phase_diagram.config import RANGES as MAP
from tests.bad_input.harness import Row

# Groups whose files have numeric options.
GROUPS = ("data", "noise", "model", "technique", "monitor")
NEEDED = {"noise": ("noise.path=x", "noise.matrix=x"), "data": ("data.root=x", "data.path=x")}


def outside(allowed: Range) -> float:
    """A number just outside a range."""
    if allowed.low == -math.inf:
        return math.nan if allowed.high == math.inf else int(allowed.high) + 1
    return int(allowed.low) - (0 if allowed.above else 1)


def choices() -> list[Row]:
    """A choice that does not exist, for every group."""
    doors = {"diagram": "map"}
    groups = sorted(path.name for path in CONF_DIR.iterdir() if path.is_dir())
    return [
        Row(doors.get(group, "run"), f"{group}=nothing", "nothing", "choose from: ")
        for group in groups
        if group != "hydra"
    ]


def numbers() -> list[Row]:
    """A number outside the range, for every key at the top of a configuration."""
    found = []
    for door, table in (("run", TOP), ("audit", AUDIT), ("map", MAP)):
        for key, allowed in table.items():
            value = f"{outside(allowed):g}"
            found.append(Row(door, f"{key}={value}", f"got {value}", f"{key} must be "))
    return found


@cache
def composed(group: str, choice: str) -> DictConfig:
    for needed in ((), *((word,) for word in NEEDED.get(group, ()))):
        try:
            cfg = compose([f"{group}={choice}", *needed])
            str(cfg[group])
            return cfg
        except Exception as error:  # the choice has no such option
            last = error
    raise last


def parts() -> Iterator[tuple[str, str, str, Range]]:
    """Group, choice, path and range of every numeric option in a file of ``GROUPS``."""
    for group in GROUPS:
        for file in sorted((CONF_DIR / group).glob("*.yaml")):
            node = composed(group, file.stem)[group]
            nodes = (
                {group: node}
                if "_target_" in node
                else {f"{group}.{k}": v for k, v in node.items()}
            )
            for path, part in nodes.items():
                for option in part:
                    allowed = range_of(str(part.get("_target_")), str(option))
                    if allowed is not None:
                        yield group, file.stem, f"{path}.{option}", allowed
