"""One of the processes that :mod:`labelnoise.training.launcher` starts to train a run together."""

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
    """One rank: train as told in ``folder``, and leave word there of a failure."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the launcher
    threading.Thread(target=_end_with_the_launcher, daemon=True).start()
    orders, rank = Path(folder), int(os.environ[RANK])
    cfg, overrides = (OmegaConf.load(orders / f"{name}.yaml") for name in ("config", "overrides"))
    assert isinstance(cfg, DictConfig)
    try:
        with interruptible():
            run_rank(cfg, Path(path), [str(word) for word in overrides])
    except Interrupted as leaving:
        sys.stdout.flush()
        os._exit(int(leaving.code or 0))  # without waiting for peers that left elsewhere
    except Exception as error:
        report = {
            "rank": rank,
            "time": time.time(),
            "line": explain(error),
            "traceback": traceback.format_exc(),
        }
        write_json(orders / f"failure-{rank}.json", report)
        sys.stdout.flush()
        os._exit(1)  # without waiting for peers that wait for this one


def _end_with_the_launcher() -> None:
    """The launcher holds the other end of stdin as long as it lives."""
    os.read(0, 1)  # past Python's buffer, whose lock would be held when this process ends well
    os._exit(1)


if __name__ == "__main__":
    _main(*sys.argv[1:])
