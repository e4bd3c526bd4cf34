"""Many exact theory runs at once, in chunks that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.seeding import stream
from labelnoise.theory.simulation.descent import BatchedDescent
from labelnoise.theory.simulation.measures import held_out_errors, training_measures
from labelnoise.theory.simulation.products import Products, draw_products, filter_rows
from labelnoise.theory.simulation.setting import Setting

# Half a gigabyte: small enough to stay near the processor, large enough that a step is arithmetic.
MEMORY_LIMIT = 2**26


def geometric_steps(last: int, per_decade: int = 10) -> list[int]:
    """0, and whole steps evenly spread over a logarithmic axis up to ``last``.

    Example:
        >>> geometric_steps(100, per_decade=3)
        [0, 1, 2, 5, 10, 22, 46, 100]
    """
    count = int(np.ceil(per_decade * np.log10(max(last, 1)))) + 1
    spread = np.geomspace(1, max(last, 1), count).round().astype(int)
    return [0, *sorted({int(step) for step in spread if step <= last})]


@dataclass(frozen=True)
class Trajectories:
    """What was measured of every run, at the logged steps.

    Attributes:
        step: (T,) the logged steps.
        measures: (T, runs) arrays by name: those of ``training_measures``, and where test samples
            were drawn ``test_error`` against clean and ``test_error_noisy`` against noisy labels.
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
) -> Trajectories:
    """Train the theory's network once for every setting and seed, and measure it on the way.

    A run's numbers depend on its setting and seed, not on the runs beside it nor on the limit, up
    to the rounding of batched products.

    Args:
        settings, seeds: of each run; all settings have the same n.
        steps: at which to measure, ascending; the last one ends the run.
        test_samples: fresh samples a run for the test errors, 0 for none.
        test_steps: of ``steps``, those at which to measure test errors; None for all.
        dtype, device: of the arithmetic.
        memory_limit: bytes that a chunk of runs may take.

    Raises:
        InputError: no runs, steps that do not ascend, or a limit too small for one run.
    """
    steps = [int(step) for step in steps]
    if not settings or len(settings) != len(seeds):
        raise InputError(f"{len(settings)} settings and {len(seeds)} seeds: give a seed a setting")
    if not steps or steps[0] < 0 or any(b <= a for a, b in pairwise(steps)):
        raise InputError(f"steps to measure at must ascend from 0 or more, got {steps[:5]}")
    tested = set(steps if test_steps is None else test_steps) if test_samples else set()
    chunks = [
        _simulate(settings[part], seeds[part], steps, tested, test_samples, dtype, device)
        for part in chunks_of(settings, test_samples, dtype, memory_limit)
    ]
    measures = {
        name: torch.cat([chunk[name] for chunk in chunks], dim=1).cpu().numpy()
        for name in chunks[0]
    }
    return Trajectories(np.array(steps), measures)


def chunks_of(
    settings: Sequence[Setting], test_samples: int, dtype: torch.dtype, memory_limit: int
) -> Iterator[slice]:
    """Runs of as many numbers as fit under the limit together."""
    n, m = settings[0].n, max(setting.m for setting in settings)
    # Draws in double precision, then steps, then test samples: the largest of them counts.
    drawn = 8 * 3 * (n + 2 * m) ** 2
    tested = dtype.itemsize * 3 * 2 * m * test_samples
    each = max(drawn, tested) + dtype.itemsize * (n + 1) * (n + 1 + 10 * m)
    count = memory_limit // each
    if count < 1:
        raise InputError(
            f"a run of n = {n} and m = {m} takes {each / 2**20:.0f} MB and the memory limit is "
            f"{memory_limit / 2**20:.0f} MB: raise it"
        )
    for first in range(0, len(settings), count):
        yield slice(first, first + count)


def _simulate(
    settings: Sequence[Setting],
    seeds: Sequence[int],
    steps: Sequence[int],
    tested: set[int],
    test_samples: int,
    dtype: torch.dtype,
    device: str | torch.device,
) -> dict[str, torch.Tensor]:
    def column(name: str) -> torch.Tensor:
        values = [float(getattr(setting, name)) for setting in settings]
        return torch.tensor(values, dtype=dtype, device=device)

    products = Products(*(part.to(device) for part in draw_products(settings, seeds)))
    run = BatchedDescent(products, column("m"), column("eta"), dtype)
    rates = torch.stack([column("tau_minus"), column("tau_plus")], dim=1)
    normals = None
    if tested:
        normals = _normals(settings, seeds, test_samples).to(run.start)
    rows_by_name: dict[str, list[torch.Tensor]] = {}
    at = 0
    for step in steps:
        run.step(step - at)
        at = step
        row = training_measures(run)
        if normals is not None:
            errors = torch.full_like(rates, torch.nan)
            if step in tested:
                errors = held_out_errors(run, normals, column("xi_std"), column("orthogonal") > 0)
            row["test_error"] = errors.mean(1)
            row["test_error_noisy"] = (errors * (1 - rates) + (1 - errors) * rates).mean(1)
        for name, value in row.items():
            rows_by_name.setdefault(name, []).append(value)
    return {name: torch.stack(rows) for name, rows in rows_by_name.items()}


def _normals(
    settings: Sequence[Setting], seeds: Sequence[int], samples: int
) -> Float[Tensor, "b rows s"]:
    """A run's own numbers for its own filters, whatever other runs have."""
    most = max(setting.m for setting in settings)
    normals = torch.zeros(len(settings), 2 * most, samples)
    for i, (setting, seed) in enumerate(zip(settings, seeds, strict=True)):
        drawn = torch.randn(2 * setting.m, samples, generator=stream(seed, "test"))
        normals[i, filter_rows(setting.m, most)] = drawn
    return normals
