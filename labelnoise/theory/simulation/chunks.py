"""Many runs in chunks: which ones go together, and on which cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from labelnoise.errors import InputError
from labelnoise.theory.simulation.setting import Setting

Part = TypeVar("Part")
Result = TypeVar("Result")

# A quarter of a gigabyte for every worker.
MEMORY_LIMIT = 2**28
# What a step reads and writes of a chunk stays near a processor's core in so many bytes.
CACHE = 2**22


def together(settings: Sequence[Setting], seeds: Sequence[int]) -> list[int]:
    """The runs in an order that has those next to each other that share work.

    Runs of one seed share their normal numbers, and runs of a similar T1 come to rest at a similar
    step, where a chunk can stop.

    Example:
        >>> together([Setting(d=600), Setting(d=500), Setting(d=700)], [1, 0, 1])
        [1, 2, 0]
    """

    def key(i: int) -> tuple[int, int, float]:
        return seeds[i], settings[i].m, settings[i].theory_t1

    return sorted(range(len(settings)), key=key)


def chunks_of(
    settings: Sequence[Setting],
    test_samples: int,
    dtype: torch.dtype,
    memory_limit: int,
    cache: int | None = CACHE,
) -> Iterator[slice]:
    """Runs of as many numbers as fit under the limit together, and into the cache if any."""
    n, m = settings[0].n, max(setting.m for setting in settings)
    stepped = dtype.itemsize * (n + 1) * (n + 1 + 10 * m)
    # Draws in double precision, then steps, then test samples: the largest of them counts.
    drawn = 8 * 3 * (n + 2 * m) ** 2
    tested = dtype.itemsize * 3 * 2 * m * test_samples
    each = max(drawn, tested) + stepped
    count = memory_limit // each
    if count < 1:
        raise InputError(
            f"a run of n = {n} and m = {m} takes {each / 2**20:.0f} MB and the memory limit is "
            f"{memory_limit / 2**20:.0f} MB: raise it"
        )
    if cache is not None:
        count = min(count, max(1, cache // stepped))
    for first in range(0, len(settings), count):
        yield slice(first, first + count)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_workers(work: Callable[[Part], Result], parts: Iterable[Part], workers: int) -> list[Result]:
    """Results in the order of the parts, each worked on by one thread with one thread of torch's.

    So what is computed depends on no number of threads, and workers wait for each other at the end
    only, not at every operation.
    """
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, parts))
    finally:
        # Part of torch's setting belongs to the thread and part to the process.
        torch.set_num_threads(before)
