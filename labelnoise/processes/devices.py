"""The cores and GPUs of this machine, and their shares for jobs that run at the same time."""

from __future__ import annotations

import os
from collections.abc import Sequence

from omegaconf import DictConfig


def cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus_of(cfg: DictConfig) -> list[str]:
    """The names of the GPUs that the jobs of ``cfg`` may use, as in CUDA_VISIBLE_DEVICES."""
    if cfg.trainer.get("accelerator", "auto") == "cpu":
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]


def gpu_of(place: int, gpus: Sequence[str]) -> dict[str, str]:
    """The environment variables that give a job one of several GPUs, in turn.

    Example:
        >>> [gpu_of(place, ["2", "5"]) for place in (0, 1, 2)][2]
        {'CUDA_VISIBLE_DEVICES': '2'}
        >>> gpu_of(0, ["0"])
        {}
    """
    return {"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if len(gpus) > 1 else {}
