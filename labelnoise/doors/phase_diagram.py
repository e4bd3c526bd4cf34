"""``python phase_diagram.py``, or ``labelnoise-map``: compute a grid of theory runs and draw it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from labelnoise.config import CONF_DIR
from labelnoise.config.command_line import job, one_line_errors
from labelnoise.phase_diagram.config import check, register_schema
from labelnoise.sweeps.ledger import hash_of, recorded
from labelnoise.sweeps.unfinished import unfinished_listed

register_schema()


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="phase_diagram")
def run(cfg: DictConfig) -> float | None:
    """Check the configuration, compute, draw, and return the mean of the drawn quantity."""
    now = HydraConfig.get()
    alone = now.mode == RunMode.RUN
    # The blocks of a diagram share one folder, so a job has only a line in the ledger.
    entry = (
        nullcontext()
        if alone
        else recorded(Path(now.sweep.dir, str(now.job.num)), hash_of(cfg), now.overrides.task)
    )
    with job(Path(now.runtime.output_dir), alone=alone), entry:
        check(cfg)
        from labelnoise.phase_diagram.run import phase_diagram  # imports torch

        mean: float | None = phase_diagram(cfg, Path(cfg.output_dir) / cfg.name).get("mean")
    return mean


def main() -> None:
    """Run the command with the words in ``sys.argv``."""
    with one_line_errors("phase_diagram"), unfinished_listed():
        run()
