"""A process of a run, started by :mod:`labelnoise.training.launcher`."""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from labelnoise.config.command_line import explain
from labelnoise.files.writing import write_json
from labelnoise.processes.distributed import RANK
from labelnoise.processes.interrupts import Interrupted, interruptible, take_over_from_parent
from labelnoise.training.train import run_rank


def _main(folder: str, path: str) -> None:
    """Train one rank by the files in ``folder``, and write a failure report there."""
    take_over_from_parent()
    orders, rank = Path(folder), int(os.environ[RANK])
    cfg, overrides = (OmegaConf.load(orders / f"{name}.yaml") for name in ("config", "overrides"))
    assert isinstance(cfg, DictConfig)
    try:
        # A cluster sends a signal to all processes of a job, and the launcher sends it again.
        with interruptible(only_first=True):
            run_rank(cfg, Path(path), [str(word) for word in overrides])
    except Interrupted as leaving:
        sys.stdout.flush()
        os._exit(int(leaving.code or 0))  # without waiting for other ranks
    except Exception as error:
        report = {
            "rank": rank,
            "time": time.time(),
            "line": explain(error),
            "traceback": traceback.format_exc(),
        }
        write_json(orders / f"failure-{rank}.json", report)
        sys.stdout.flush()
        os._exit(1)  # without waiting for ranks that wait for this one


if __name__ == "__main__":
    _main(*sys.argv[1:])
