"""Global state that a run changes and then restores: random streams and warnings.

Several jobs of a sweep run in one process. A job must not depend on the jobs before it.
"""

from __future__ import annotations

import ctypes
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from labelnoise.seeding import derive_seed

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# Any, because the type checker does not know the attribute that this module sets.
memory_guard: Any = torch.utils.deterministic

# Warnings that do not apply here, each with the reason.
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # batches are slices of tensors; workers would copy them
    ".*your dataloader is not resumable.*",  # TensorLoader resumes within an epoch
    ".*Checkpoint directory .* exists and is not empty.*",  # the run directory checks its content
    ".*is smaller than the logging interval.*",  # a run may be shorter than the interval
    ".*Total length of `list` across ranks is zero.*",  # val_fraction=0 means no validation
    r".*isinstance\(treespec, LeafSpec\)` is deprecated.*",  # from Lightning with recent torch
    ".*sync_dist=True.*",  # every rank evaluates whole splits
    ".*GPU available but not used.*",  # the user chooses a GPU by trainer=gpu
)


def keep_freed_memory() -> None:
    """Make the C library reuse freed memory instead of returning it to the system.

    A training step on images frees and allocates the same hundred megabytes. Returning them costs a
    page fault for every 4 KB, a third of a step of the small CNN. Blocks above 32 MB are still
    returned, so that fragmentation cannot grow. The setting lasts until the process ends. Without
    glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, or another system
        return
    mallopt(_M_MMAP_THRESHOLD, 2**25)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def isolated(seed: int, threads: int | None = None) -> Iterator[None]:
    """Seed the global random streams, and restore all global state at the end of the block."""
    threads_before = torch.get_num_threads()
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    deterministic = torch.are_deterministic_algorithms_enabled()
    fill = memory_guard.fill_uninitialized_memory
    try:
        keep_freed_memory()
        torch.use_deterministic_algorithms(False)  # a Trainer may switch them on
        torch.set_num_threads(threads or threads_before)
        # This guard against reading uninitialized memory costs a pass over every allocation.
        memory_guard.fill_uninitialized_memory = False
        with warnings.catch_warnings():
            for message in _EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message)
            seed_globally(seed)
            yield
    finally:
        torch.set_num_threads(threads_before)
        torch.use_deterministic_algorithms(deterministic)
        memory_guard.fill_uninitialized_memory = fill
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def seed_globally(seed: int, *names: int) -> None:
    """Seed the global random streams, which dropout uses; ``names`` distinguish streams."""
    pl.seed_everything(derive_seed(seed, "global", *names) % 2**32, verbose=False)
