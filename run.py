"""Train one network on partly wrong labels and report how it went; -m runs a sweep.

python run.py noise_rate=0.2 technique=early_stop
python run.py --help
"""

from __future__ import annotations

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from labelnoise.command_line import one_line_errors
from labelnoise.config import check, register_schema

register_schema()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def run(cfg: DictConfig) -> float:
    """Check the configuration, train, and return the clean test accuracy."""
    check(cfg)
    from labelnoise.train import train  # torch is imported only once there is something to train

    hydra_cfg = HydraConfig.get()
    summary = train(cfg, Path(hydra_cfg.runtime.output_dir), hydra_cfg.overrides.task)
    return float(summary["final"]["test/acc"])


if __name__ == "__main__":
    with one_line_errors():
        run()
