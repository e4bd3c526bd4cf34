"""Compute a diagram in parts; each finished part is saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from labelnoise.errors import InputError
from labelnoise.phase_diagram.quantities import measured, read_off
from labelnoise.phase_diagram.store import Store
from labelnoise.theory.simulation import Setting, geometric_steps, simulate

# Size of a part: some seconds of work, so that a kill loses little and there are not too many
# files. Below a few hundred runs the time of a step does not fall.
STEPS_OF_A_PART = 2_000_000
RUNS_OF_A_PART = (250, 5000)


@dataclass(frozen=True)
class Task:
    """The options for computing the cells.

    Attributes:
        steps: number of steps of gradient descent.
        seeds: the seeds of every cell.
        tested: the logged steps with test errors: "none", "end" or "all".
        test_samples: number of fresh samples for a test error.
        logged_per_decade: number of measured steps per decade, on a logarithmic axis.
        dtype: floating-point type, "float32" or "float64".
        device: device of the computation.
        memory_limit: bytes for the runs of a chunk.
    """

    steps: int
    seeds: tuple[int, ...]
    tested: str
    test_samples: int
    logged_per_decade: int
    dtype: str
    device: str
    memory_limit: int


def parts_of(cells: int, task: Task) -> list[range]:
    """The cells of each part; every part has at least one cell.

    Example:
        >>> task = Task(100, tuple(range(10)), "end", 1000, 10, "float32", "cpu", 2**28)
        >>> parts_of(1200, task)
        [range(0, 500), range(500, 1000), range(1000, 1200)]
    """
    fewest, most = RUNS_OF_A_PART
    runs = min(max(fewest, STEPS_OF_A_PART // task.steps), most)
    size = max(1, runs // len(task.seeds))
    return [range(i, min(i + size, cells)) for i in range(0, cells, size)]


def compute_parts(
    store: Store, settings: Sequence[Setting], task: Task, numbers: Sequence[int]
) -> None:
    """Compute the parts ``numbers`` that are missing or damaged."""
    parts = parts_of(len(settings), task)
    console = Console(stderr=True)
    missing = []
    for number in numbers:
        found = store.read_part(number, _shape(parts[number], task), measured(task.tested))
        if isinstance(found, str):
            console.print(f"{found}: computed again", highlight=False)
        if not isinstance(found, dict):
            missing.append(number)
    done = sum(len(parts[n]) for n in numbers) - sum(len(parts[n]) for n in missing)
    if done:
        console.print(f"{done:,} cells are already finished", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    hidden = not console.is_terminal
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=hidden) as progress:
        bar = progress.add_task("cells", total=sum(len(parts[n]) for n in missing))
        for number in missing:
            cells = [settings[i] for i in parts[number]]
            store.write_part(number, compute_cells(cells, task))
            progress.advance(bar, len(cells))


def compute_cells(cells: Sequence[Setting], task: Task) -> dict[str, NDArray[Any]]:
    """Every quantity of the cells, (cells, seeds) each."""
    whole: dict[str, NDArray[Any]] = {}
    alike: dict[int, list[int]] = defaultdict(list)
    for i, cell in enumerate(cells):
        alike[cell.n].append(i)  # all runs of a batch have the same n
    for members in alike.values():
        runs = [cells[i] for i in members for _ in task.seeds]
        steps = geometric_steps(task.steps, task.logged_per_decade)
        try:
            trajectories = simulate(
                runs,
                list(task.seeds) * len(members),
                steps,
                test_samples=0 if task.tested == "none" else task.test_samples,
                test_steps=steps[-1:] if task.tested == "end" else None,
                dtype=getattr(torch, task.dtype),
                device=task.device,
                memory_limit=task.memory_limit,
            )
        except torch.linalg.LinAlgError:
            raise InputError(
                "runs have diverged: lower the learning rate, setting.eta, or raise theory_t1"
            ) from None
        for name, values in read_off(trajectories, runs, task.tested).items():
            array = whole.setdefault(name, np.empty((len(cells), len(task.seeds))))
            array[members] = values.reshape(len(members), -1)
    return whole


def assemble(store: Store, settings: Sequence[Setting], task: Task) -> Mapping[str, NDArray[Any]]:
    """All parts together, (cells, seeds) for each quantity.

    Raises:
        InputError: a part is missing or damaged.
    """
    found = []
    for number, cells in enumerate(parts_of(len(settings), task)):
        part = store.read_part(number, _shape(cells, task), measured(task.tested))
        if not isinstance(part, dict):
            raise InputError(part or f"part {number} is missing in {store.path}: run it again")
        found.append(part)
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def _shape(cells: range, task: Task) -> tuple[int, int]:
    return len(cells), len(task.seeds)
