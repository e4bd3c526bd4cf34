"""What a run changes in its process, and puts back: random streams, warnings, logging.

Several jobs of a sweep run in one process; none may depend on which ran before it.
"""

from __future__ import annotations

import ctypes
import logging
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from labelnoise.seeding import derive_seed

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

# Typed as a plain module, while torch makes its attribute a switch.
memory_guard: Any = torch.utils.deterministic

# Each is answered elsewhere, as said beside it.
_EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # batches are slices of tensors, workers would copy them
    ".*your dataloader is not resumable.*",  # TensorLoader goes on in mid-epoch by itself
    ".*Checkpoint directory .* exists and is not empty.*",  # the run directory knows its runs
    ".*is smaller than the logging interval.*",  # a run may be shorter than any interval
    ".*Total length of `list` across ranks is zero.*",  # val_fraction=0 asks for no validation
    r".*isinstance\(treespec, LeafSpec\)` is deprecated.*",  # Lightning's, of recent torch
    ".*sync_dist=True.*",  # every rank evaluates whole splits, there is nothing to put together
    ".*GPU available but not used.*",  # a GPU is the user's choice, by trainer=gpu
)


def keep_freed_memory() -> None:
    """Have the C library use freed memory again instead of giving it back to the system.

    A step of a network on images frees and takes the same hundred megabytes; giving them back in
    between costs the processor a page fault for every 4 KB, a third of a step of the small CNN.
    Blocks above 32 MB still go back, so that a heap full of holes cannot grow. Lasts as long as the
    process, and does nothing without glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, or another system
        return
    mallopt(_M_MMAP_THRESHOLD, 2**25)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def isolated(seed: int, threads: int | None = None) -> Iterator[None]:
    """Seed the global streams for third parties, and put back all global state afterwards."""
    threads_before = torch.get_num_threads()
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    deterministic = torch.are_deterministic_algorithms_enabled()
    fill = memory_guard.fill_uninitialized_memory
    try:
        keep_freed_memory()
        torch.use_deterministic_algorithms(False)  # until a Trainer asks for them
        torch.set_num_threads(threads or threads_before)
        # A guard for code that reads memory before writing it; it costs every allocation a pass.
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
    """Seed the global streams, for third parties such as dropout; ``names`` tell streams apart."""
    pl.seed_everything(derive_seed(seed, "global", *names) % 2**32, verbose=False)


@contextmanager
def logging_to(path: Path | None) -> Iterator[None]:
    """Send this project's log to the screen and to ``path``, and leave out Lightning's chatter.

    None sends it nowhere: of several processes that train one run, one speaks.
    """
    ours = logging.getLogger("labelnoise")
    lightning = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    screen: logging.Handler = logging.NullHandler() if path is None else logging.StreamHandler()
    file: logging.Handler = logging.NullHandler() if path is None else logging.FileHandler(path)
    screen.setFormatter(logging.Formatter("%(message)s"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    levels = [logger.level for logger in (ours, *lightning)]
    ours.setLevel(logging.INFO)
    for logger in lightning:
        logger.setLevel(logging.WARNING)
    for handler in (screen, file):
        ours.addHandler(handler)
    try:
        yield
    except Exception as error:
        # The screen gets it from the command line; the file would otherwise end without a word.
        ours.removeHandler(screen)
        ours.error("failed: %s", error)
        raise
    finally:
        for handler in (screen, file):
            ours.removeHandler(handler)
            handler.close()
        for logger, level in zip((ours, *lightning), levels, strict=True):
            logger.setLevel(level)
