"""Many exact theory runs at once, in chunks that fit into memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from labelnoise.checks import COUNT, check_number
from labelnoise.errors import InputError
from labelnoise.seeding import stream
from labelnoise.theory.simulation.chunks import (
    CACHE,
    MEMORY_LIMIT,
    available_cores,
    chunks_of,
    on_workers,
    together,
)
from labelnoise.theory.simulation.descent import BatchedDescent
from labelnoise.theory.simulation.measures import held_out_errors, training_measures
from labelnoise.theory.simulation.products import Products, draw_products, filter_rows
from labelnoise.theory.simulation.setting import Setting


def geometric_steps(last: int, per_decade: int = 10) -> list[int]:
    """0, and integer steps spread evenly over a logarithmic axis up to ``last``.

    Example:
        >>> geometric_steps(100, per_decade=3)
        [0, 1, 2, 5, 10, 22, 46, 100]
    """
    count = int(np.ceil(per_decade * np.log10(max(last, 1)))) + 1
    spread = np.geomspace(1, max(last, 1), count).round().astype(int)
    return [0, *sorted({int(step) for step in spread if step <= last})]


@dataclass(frozen=True)
class Trajectories:
    """The measurements of every run at the logged steps.

    Attributes:
        step: (T,) the logged steps.
        measures: (T, runs) arrays by name: the measures of ``training_measures`` and, with test
            samples, ``test_error`` (clean labels) and ``test_error_noisy`` (noisy labels).
    """

    step: NDArray[np.int64]
    measures: dict[str, NDArray[Any]]


def simulate(
    settings: Sequence[Setting],
    seeds: Sequence[int],
    steps: Sequence[int],
    *,
    test_samples: int = 1000,
    test_steps: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    memory_limit: int = MEMORY_LIMIT,
    workers: int | None = None,
) -> Trajectories:
    """Train the two-layer CNN of the theory for every pair of setting and seed, and measure it.

    The results of a run depend on its setting and seed. Other runs and the memory limit change them
    only by the rounding of batched products; the number of workers does not change a bit. Runs of
    one seed share their draws, so many settings with few seeds are cheaper than the reverse.

    Args:
        settings, seeds: of each run; all settings have the same n.
        steps: the steps to measure, ascending; the last one ends the run.
        test_samples: number of fresh samples for the test errors of a run; 0 for none.
        test_steps: the steps of ``steps`` with test errors; None for all.
        dtype, device: floating-point type and device of the computation.
        memory_limit: bytes for a chunk of runs; each worker has one chunk at a time.
        workers: number of chunks at once, each on one core; None: all cores that the process may
            use, and 1 on a GPU.

    Raises:
        InputError: no runs, steps that do not ascend, a limit too small for one run, or no workers.
    """
    steps = [int(step) for step in steps]
    if not settings or len(settings) != len(seeds):
        raise InputError(
            f"{len(settings)} settings and {len(seeds)} seeds: give one seed for each setting"
        )
    if not steps or steps[0] < 0 or any(b <= a for a, b in pairwise(steps)):
        raise InputError(f"steps must ascend from 0 or more, got {steps[:5]}")
    tested = set(steps if test_steps is None else test_steps) if test_samples else set()
    on_cpu = torch.device(device).type == "cpu"
    if workers is None:
        workers = available_cores() if on_cpu else 1
    check_number("workers", workers, COUNT)
    order = together(settings, seeds)
    ordered, ordered_seeds = [settings[i] for i in order], [seeds[i] for i in order]

    def work(part: slice) -> dict[str, Tensor]:
        return _simulate(
            ordered[part], ordered_seeds[part], steps, tested, test_samples, dtype, device
        )

    parts = chunks_of(ordered, test_samples, dtype, memory_limit, CACHE if on_cpu else None)
    chunks = on_workers(work, parts, workers)
    place = torch.tensor(order).argsort()
    measures = {
        name: torch.cat([chunk.pop(name) for chunk in chunks], dim=1)[:, place].numpy()
        for name in list(chunks[0])
    }
    return Trajectories(np.array(steps), measures)


def _simulate(
    settings: Sequence[Setting],
    seeds: Sequence[int],
    steps: Sequence[int],
    tested: set[int],
    test_samples: int,
    dtype: torch.dtype,
    device: str | torch.device,
) -> dict[str, Tensor]:
    def column(name: str) -> Tensor:
        values = [float(getattr(setting, name)) for setting in settings]
        return torch.tensor(values, dtype=dtype, device=device)

    products = Products(*(part.to(device) for part in draw_products(settings, seeds)))
    run = BatchedDescent(products, column("m"), column("eta"), dtype)
    rates = torch.stack([column("tau_minus"), column("tau_plus")], dim=1)
    if tested:
        normals, draw = _normals(settings, seeds, test_samples)
        normals, draw = normals.to(run.start), draw.to(device)
    rows_by_name: dict[str, list[Tensor]] = {}
    at, stationary = 0, False
    for step in steps:
        if not stationary and step > at:
            run.step(step - at - 1)
            before = run.coefficients.clone()
            run.step()
            stationary = torch.equal(before, run.coefficients)
        at = step
        row = training_measures(run)
        if tested:
            errors = torch.full_like(rates, torch.nan)
            if step in tested:
                orthogonal = column("orthogonal") > 0
                errors = held_out_errors(run, normals, column("xi_std"), orthogonal, draw)
            row["test_error"] = errors.mean(1)
            row["test_error_noisy"] = (errors * (1 - rates) + (1 - errors) * rates).mean(1)
        for name, value in row.items():
            rows_by_name.setdefault(name, []).append(value)
    return {name: torch.stack(rows).cpu() for name, rows in rows_by_name.items()}


def _normals(
    settings: Sequence[Setting], seeds: Sequence[int], samples: int
) -> tuple[Float[Tensor, "u rows s"], Int[Tensor, " b"]]:
    """Normal numbers for each pair of seed and m, and the index of the numbers of each run."""
    most = max(setting.m for setting in settings)
    drawn = [(seed, setting.m) for setting, seed in zip(settings, seeds, strict=True)]
    place = {pair: i for i, pair in enumerate(dict.fromkeys(drawn))}
    normals = torch.zeros(len(place), 2 * most, samples)
    for (seed, m), i in place.items():
        numbers = torch.randn(2 * m, samples, generator=stream(seed, "test"))
        normals[i, filter_rows(m, most)] = numbers
    return normals, torch.tensor([place[pair] for pair in drawn])
