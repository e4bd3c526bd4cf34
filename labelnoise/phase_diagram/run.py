"""Compute and draw a diagram from its configuration."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from labelnoise.checks import check_number, check_word, whole
from labelnoise.errors import InputError
from labelnoise.phase_diagram.compute import Task, assemble, compute_parts, parts_of
from labelnoise.phase_diagram.config import check
from labelnoise.phase_diagram.figures import Drawing, draw
from labelnoise.phase_diagram.grid import Axis, Grid
from labelnoise.phase_diagram.parameters import PARAMETERS
from labelnoise.phase_diagram.quantities import QUANTITIES, TESTED
from labelnoise.phase_diagram.read import mapping, number
from labelnoise.phase_diagram.statistics import over_seeds
from labelnoise.phase_diagram.store import Store, flat
from labelnoise.report.pictures.style import save_figure
from labelnoise.theory.simulation import Setting

# The keys that determine the numbers; the others are for storage, computation and drawing.
COMPUTED = (
    "x", "y", "panels", "setting", "steps", "seed", "seeds", "test_samples", "test_at",
    "logged_per_decade", "dtype",
)  # fmt: skip
MEGABYTE = 2**20


def phase_diagram(cfg: DictConfig, directory: Path) -> dict[str, Any]:
    """Compute the missing parts of the diagram in ``directory``, and draw it when it is complete.

    Returns:
        Numbers for the manifest: cells, runs and seconds of this call, and the mean of the
        quantity.

    Raises:
        InputError: one line with the bad value and the allowed values.
    """
    check(cfg)
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    drawing = Drawing.read(plain["figure"])
    tested = _tested(plain["test_at"], drawing.quantity, directory)
    grid = read_grid(plain)
    task = _task(plain, tested)
    settings = grid.settings()
    parts = parts_of(len(settings), task)
    block, blocks = _block(plain)
    config = {key: plain[key] for key in COMPUTED} | {"test_at": tested}
    store = Store(directory, config, _fingerprint(config))
    drawing.check(grid, settings)
    sources = _sources(plain["merge"])
    for source in sources:
        store.check_source(source)
    begins = store.claim()
    started = time.perf_counter()
    mine = range(len(parts)) if block is None else range(block, len(parts), blocks)
    with _released_on_refusal(store, begins):
        for source in sources:
            print(f"{store.take_over(source)} parts copied from {source}")
        compute_parts(store, settings, task, mine)
    cells = sum(len(parts[n]) for n in mine)
    outcome: dict[str, Any] = {
        "cells": cells,
        "runs": cells * len(task.seeds),
        "seconds": round(time.perf_counter() - started, 2),
    }
    absent = sum(not store.part(number).is_file() for number in range(len(parts)))
    if absent:
        print(
            f"block {block} of {blocks}: {cells:,} cells in {outcome['seconds']:.1f} s; {absent} "
            f"of {len(parts)} parts are missing; the last block joins and draws them all"
        )
        return outcome
    outcome["mean"] = _draw_whole(store, grid, settings, task, drawing)
    store.describe(status="finished", figure=plain["figure"], **outcome)
    path = _figure_of(store, drawing)
    print(f"{cells:,} cells of {len(task.seeds)} runs in {outcome['seconds']:.1f} s: {path}")
    return outcome


@contextmanager
def _released_on_refusal(store: Store, begins: bool) -> Iterator[None]:
    """A directory that a refused call made is removed."""
    try:
        yield
    except InputError:
        if begins:
            store.release()
        raise


def _draw_whole(
    store: Store, grid: Grid, settings: Sequence[Setting], task: Task, drawing: Drawing
) -> float | None:
    """Join the parts, draw their quantity, and return its mean over cells; None without a value."""
    arrays = assemble(store, settings, task)
    store.write_whole(grid, list(task.seeds), dict(arrays))
    values = arrays[drawing.quantity]
    store.figures.mkdir(exist_ok=True)
    shaped = values.reshape(*grid.shape, len(task.seeds))
    save_figure(draw(drawing, grid, settings, shaped), _figure_of(store, drawing))
    mean = over_seeds(values)[0]
    return None if np.isnan(mean).all() else float(np.nanmean(mean))


def _figure_of(store: Store, drawing: Drawing) -> Path:
    return store.figures / f"{drawing.quantity}.png"


def read_grid(plain: Mapping[str, Any]) -> Grid:
    """The axes and the other parameters.

    Raises:
        InputError: a bad axis or parameter.
    """
    panels = plain["panels"]
    words = mapping("setting", plain["setting"], PARAMETERS, "{n: 20, d: 1000, ...}")
    base = {
        # Only for this parameter, true and false are numbers.
        name: float(value)
        if name == "orthogonal" and isinstance(value, bool)
        else number(f"setting.{name}", value)
        for name, value in words.items()
        if value is not None
    }
    return Grid(
        Axis.read("x", plain["x"]),
        Axis.read("y", plain["y"]),
        Axis.read("panels", panels) if panels else None,
        base,
    )


def _sources(merge: Any) -> list[Path]:
    if not isinstance(merge, list | None) or not all(isinstance(s, str) for s in merge or ()):
        raise InputError(f"merge must be a list of directories as [from_a/big], got {merge}")
    return [Path(source) for source in merge or ()]


def measured_there(directory: Path) -> str | None:
    """The ``test_at`` of the diagram in ``directory``; None if there is none."""
    try:
        test_at = json.loads((directory / "manifest.json").read_text())["config"]["test_at"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return test_at if test_at in TESTED else None


def _tested(test_at: str | None, quantity: str, directory: Path) -> str:
    """The steps with test errors, from the option or the directory; enough for the quantity."""
    needed = QUANTITIES[quantity].tested
    there = measured_there(directory)
    found = test_at or there or needed
    check_word("test_at", found, TESTED)
    if TESTED.index(found) >= TESTED.index(needed):
        return found
    if test_at is None:
        raise InputError(
            f"{directory} was measured with test_at={there}, but figure.quantity={quantity} needs "
            f"{needed}: choose another name="
        )
    raise InputError(f"figure.quantity={quantity} needs test_at={needed}, got {test_at}")


def _task(plain: Mapping[str, Any], tested: str) -> Task:
    check_word("dtype", plain["dtype"], ("float32", "float64"))
    check_word("device", plain["device"], ("cpu", "cuda"))
    if plain["device"] == "cuda" and not torch.cuda.is_available():
        raise InputError("device=cuda but no GPU was found: leave device= out")
    return Task(
        steps=plain["steps"],
        seeds=tuple(range(plain["seed"], plain["seed"] + plain["seeds"])),
        tested=tested,
        test_samples=plain["test_samples"],
        logged_per_decade=plain["logged_per_decade"],
        dtype=plain["dtype"],
        device=plain["device"],
        memory_limit=int(plain["memory_limit_mb"] * MEGABYTE),
    )


def _block(plain: Mapping[str, Any]) -> tuple[int | None, int]:
    block, blocks = plain["block"], plain["blocks"]
    if block is not None:
        check_number("block", block, whole(0, blocks - 1))
    return block, blocks


def _fingerprint(config: Mapping[str, Any]) -> str:
    text = json.dumps(flat(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
