"""Compute a grid of exact theory runs and draw it; -m splits the work into jobs.

python phase_diagram.py diagram=benign_map
python phase_diagram.py --help
"""

from __future__ import annotations

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from labelnoise.config.command_line import job, one_line_errors
from labelnoise.phase_diagram.config import check, register_schema

register_schema()


@hydra.main(version_base="1.3", config_path="conf", config_name="phase_diagram")
def run(cfg: DictConfig) -> float | None:
    """Check the configuration, compute, draw, and return the mean of the drawn quantity."""
    now = HydraConfig.get()
    with job(Path(now.runtime.output_dir), alone=now.mode == RunMode.RUN):
        check(cfg)
        from labelnoise.phase_diagram.run import phase_diagram  # imports torch

        mean: float | None = phase_diagram(cfg, Path(cfg.output_dir) / cfg.name).get("mean")
    return mean


if __name__ == "__main__":
    with one_line_errors("phase_diagram"):
        run()
