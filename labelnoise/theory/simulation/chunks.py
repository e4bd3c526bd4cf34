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
# Where fewer runs are stepped together, much of the time is Python's; a few times as many are
# shared among cores, whatever the number of these.
FEW, SHARES = 100, 4
# Bytes that a step reads and writes of a chunk. With smaller chunks Python takes more of the time,
# and only one worker at a time runs Python. Larger chunks do not fit into the processor's memory.
CACHE = 2**23
# Bytes for each entry of a run's Gram matrix while it is drawn: four matrices in double precision
# at once, and a tenth for smaller arrays.
DRAWN = 35


def together(settings: Sequence[Setting], seeds: Sequence[int]) -> list[int]:
    """The runs in an order that has those of one seed together, which share their normal numbers.

    Example:
        >>> together([Setting(m=20), Setting(m=10), Setting(m=10)], [0, 1, 0])
        [2, 0, 1]
    """
    return sorted(range(len(settings)), key=lambda i: (seeds[i], settings[i].m))


def chunks_of(
    settings: Sequence[Setting],
    test_samples: int,
    dtype: torch.dtype,
    memory_limit: int,
    cache: int | None = CACHE,
) -> Iterator[slice]:
    """Runs of as many numbers as fit under the limit together, and into the cache if any.

    Without a cache, on a GPU, as many as the memory holds; else at least ``SHARES`` chunks where
    those have more than ``FEW`` runs.
    """
    n, m = settings[0].n, max(setting.m for setting in settings)
    stepped = dtype.itemsize * (n + 1) * (n + 1 + 10 * m)
    # Draws in double precision, then steps, then test samples: the largest of them counts.
    drawn = DRAWN * (n + 2 * m) ** 2
    tested = dtype.itemsize * 3 * 2 * m * test_samples
    each = max(drawn, tested) + stepped
    count = memory_limit // each
    if count < 1:
        raise InputError(
            f"a run of n = {n} and m = {m} takes {each / 2**20:.0f} MB and the memory limit is "
            f"{memory_limit / 2**20:.0f} MB: raise it"
        )
    chunks = -(-len(settings) // count)
    if cache is not None:
        cached = -(-len(settings) * stepped // cache)
        chunks = max(chunks, cached, min(SHARES, len(settings) // FEW))
    chunks = min(chunks, len(settings))  # a single run may be larger than the cache
    for chunk in range(chunks):
        yield slice(*(len(settings) * edge // chunks for edge in (chunk, chunk + 1)))


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_workers(work: Callable[[Part], Result], parts: Iterable[Part], workers: int) -> list[Result]:
    """Results in the order of the parts, each worked on by one thread with one thread of torch's.

    So what is computed depends on no number of threads. On two idle cores and runs of n = 20 two
    workers take 0.8 of the time of one, and torch's own two threads 1.6 of it: the operations are
    short, and those threads wait for each other at every one of them.
    """
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, parts))
    finally:
        # Part of torch's setting belongs to the thread and part to the process.
        torch.set_num_threads(before)
