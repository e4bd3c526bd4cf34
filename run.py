"""Train a network on partly wrong labels and report the results; -m runs a sweep.

python run.py noise_rate=0.2 technique=early_stop
python run.py --help
"""

from __future__ import annotations

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from labelnoise.config.command_line import job, one_line_errors
from labelnoise.config.composition import check, register_schema
from labelnoise.sweeps.jobs import train_in_sweep
from labelnoise.sweeps.report import sweep_reported

register_schema()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def run(cfg: DictConfig) -> float:
    """Check the configuration, train, and return the clean test accuracy."""
    now = HydraConfig.get()
    directory = Path(now.runtime.output_dir)
    with job(directory, alone=now.mode == RunMode.RUN):
        check(cfg)
        from labelnoise.training.train import (
            train,  # imported here, because it imports torch
        )

        alone = now.mode == RunMode.RUN
        summary = (train if alone else train_in_sweep)(cfg, directory, now.overrides.task)
    accuracy = None if summary is None else summary["final"]["test/acc"]
    return float("nan") if accuracy is None else float(accuracy)


if __name__ == "__main__":
    with one_line_errors(), sweep_reported():
        run()
