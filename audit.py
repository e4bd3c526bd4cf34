"""Judge every label of a data set: which labels are probably wrong, and what to do about them.

python audit.py data=image_folder data.root=FOLDER
python audit.py --help
"""

from __future__ import annotations

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from labelnoise.audit.config import check, register_schema
from labelnoise.config.command_line import job, one_line_errors

register_schema()


@hydra.main(version_base="1.3", config_path="conf", config_name="audit")
def run(cfg: DictConfig) -> float:
    """Check the configuration, train the folds, and return the estimated noise rate."""
    now = HydraConfig.get()
    directory = Path(now.runtime.output_dir)
    with job(directory, alone=now.mode == RunMode.RUN):
        check(cfg)
        from labelnoise.audit.audit import audit  # imported here, because it imports torch

        found = audit(cfg, directory, now.overrides.task)
    return float(found["noise_rate"])


if __name__ == "__main__":
    with one_line_errors("audit"):
        run()
