"""A process of a run, started by :mod:`labelnoise.training.launcher`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from labelnoise.config.command_line import explain
from labelnoise.distributed import RANK
from labelnoise.files import write_json
from labelnoise.interrupts import Interrupted, interruptible
from labelnoise.training.train import run_rank


def _main(folder: str, path: str) -> None:
    """Train one rank by the files in ``folder``, and write a failure report there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher handles Ctrl-C
    threading.Thread(target=_end_with_the_launcher, daemon=True).start()
    orders, rank = Path(folder), int(os.environ[RANK])
    cfg, overrides = (OmegaConf.load(orders / f"{name}.yaml") for name in ("config", "overrides"))
    assert isinstance(cfg, DictConfig)
    try:
        with interruptible():
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


def _end_with_the_launcher() -> None:
    """Exit when stdin closes, which means that the launcher has ended."""
    os.read(0, 1)  # not sys.stdin, because its lock would block a normal exit of this process
    os._exit(1)


if __name__ == "__main__":
    _main(*sys.argv[1:])
