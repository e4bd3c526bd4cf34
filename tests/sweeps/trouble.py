"""A monitor that makes trouble in chosen jobs of a sweep, for the tests of its launchers."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import ClassVar

import matplotlib
import pytorch_lightning as pl
import torch

from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.monitors.monitor import Monitor

# An environment variable, so that the configuration is the same without the trouble: a JSON object
# that names the trouble of jobs by their seeds.
VARIABLE = "SWEEP_TROUBLE"
# Options that add the monitor to a run.
WORDS = (
    "+monitor.trouble._target_=tests.sweeps.trouble.Trouble",
    "+monitor.trouble.every_n_steps=20",
    "+monitor.trouble.seed=${seed}",
)


class Trouble(Monitor):
    """Fails, leaves, is killed, or changes the process of a job at its first measurement."""

    records: ClassVar[tuple[str, ...]] = ("trouble",)

    def __init__(self, every_n_steps: int, seed: int) -> None:
        super().__init__(every_n_steps)
        self.trouble = json.loads(os.environ.get(VARIABLE, "{}")).get(str(seed))

    def observe(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> dict[str, float]:
        clean = torch.get_default_dtype() == torch.float32 and "TROUBLE" not in os.environ
        clean &= matplotlib.rcParams["axes.titlesize"] != 99 and os.getcwd() != "/"
        if self.trouble is not None and trainer.global_step > 0:
            getattr(self, self.trouble)()
        return {"trouble/clean": float(clean)}

    def fail(self) -> None:
        raise RuntimeError("trouble")

    def leave(self) -> None:
        sys.exit(3)

    def be_killed(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def be_slow(self) -> None:
        time.sleep(0.5)

    def sleep(self) -> None:
        print("trouble begins")
        time.sleep(1000)

    def change_the_process(self) -> None:
        os.environ["TROUBLE"] = "1"
        matplotlib.rcParams["axes.titlesize"] = 99
        os.chdir("/")
