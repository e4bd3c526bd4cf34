"""Split many runs into chunks, and compute the chunks on several cores."""

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

# Bytes for each worker.
MEMORY_LIMIT = 2**28
# With fewer than FEW runs in a chunk, Python overhead is a large part of the time. Larger sets of
# runs are split into at least SHARES chunks for several cores.
FEW, SHARES = 100, 4
# Bytes that a step reads and writes for a chunk. With smaller chunks the Python overhead grows, and
# only one worker at a time runs Python. Larger chunks do not fit into the cache of the processor.
CACHE = 2**23
# Bytes for each entry of the Gram matrix of a run while it is drawn: four matrices in double
# precision, and a tenth more for smaller arrays.
DRAWN = 35


def together(settings: Sequence[Setting], seeds: Sequence[int]) -> list[int]:
    """An order of the runs by seed and m; runs of one seed share their normal numbers.

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
    """Slices of the runs that fit under the memory limit and, on a CPU, into the cache.

    ``cache`` is None on a GPU. On a CPU there are at least min(SHARES, runs // FEW) chunks.
    """
    n, m = settings[0].n, max(setting.m for setting in settings)
    stepped = dtype.itemsize * (n + 1) * (n + 1 + 10 * m)
    # Drawing and testing happen one after the other, so the larger one counts.
    drawn = DRAWN * (n + 2 * m) ** 2
    tested = dtype.itemsize * 3 * 2 * m * test_samples
    each = max(drawn, tested) + stepped
    count = memory_limit // each
    if count < 1:
        raise InputError(
            f"a run of n = {n} and m = {m} takes {each / 2**20:.4g} MB but the memory limit is "
            f"{memory_limit / 2**20:.4g} MB: write a larger memory_limit_mb"
        )
    chunks = -(-len(settings) // count)
    if cache is not None:
        cached = -(-len(settings) * stepped // cache)
        chunks = max(chunks, cached, min(SHARES, len(settings) // FEW))
    chunks = min(chunks, len(settings))  # a single run may be larger than the cache
    for chunk in range(chunks):
        yield slice(*(len(settings) * edge // chunks for edge in (chunk, chunk + 1)))


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_workers(work: Callable[[Part], Result], parts: Iterable[Part], workers: int) -> list[Result]:
    """Results in the order of the parts; each worker is one thread with one thread of torch.

    The results therefore do not depend on the number of threads. On two idle cores and runs of
    n = 20, two workers take 0.8 of the time of one worker. Two threads of torch take 1.6 of it,
    because the operations are short and the threads wait for each other at every operation.
    """
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, parts))
    finally:
        # A part of torch's setting is per thread and a part is per process.
        torch.set_num_threads(before)
