"""How the jobs of a sweep share the cores, the GPUs and the memory of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from labelnoise.processes.devices import cores, gpus_of
from labelnoise.processes.memory import available_memory
from labelnoise.processes.pool import FIRST_GUESS


@dataclass(frozen=True)
class Shares:
    """How the jobs of a sweep share the machine.

    Attributes:
        at_once: the number of jobs that run at the same time.
        threads: the CPU threads of a job whose ``threads`` is null.
        gpus: the GPUs; each job gets one of them.
    """

    at_once: int
    threads: int | None
    gpus: Sequence[str] = ()


def shares_of(cfg: DictConfig, jobs: int, n_jobs: int | None) -> Shares:
    """How ``jobs`` jobs like ``cfg`` share the machine; ``n_jobs`` is the option, or None.

    The last digits of torch's sums depend on the number of threads. ``threads`` therefore does not
    depend on ``n_jobs``, and a sweep has the same results with every ``n_jobs``. An audit, a phase
    diagram and a run on several devices use the whole machine, so one of them runs at a time.
    """
    gpus = gpus_of(cfg) if "trainer" in cfg else []
    several = "trainer" in cfg and cfg.trainer.get("devices", "auto") not in (1, "1")
    if "folds" in cfg or "threads" not in cfg or several:
        return Shares(min(n_jobs or 1, jobs), None)
    threads = cfg.threads or (max(1, cores() // len(gpus)) if gpus else 1)
    default = len(gpus) or max(1, cores() // threads)
    free = available_memory()
    if free is not None:
        default = min(default, max(1, free // FIRST_GUESS))
    return Shares(min(n_jobs or default, jobs), None if cfg.threads else threads, gpus)
