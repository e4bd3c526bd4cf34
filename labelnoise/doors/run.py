"""``python run.py``, or ``labelnoise``: compose the configuration, train and report."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from labelnoise.config import CONF_DIR
from labelnoise.config.command_line import job, one_line_errors
from labelnoise.config.composition import check, register_schema
from labelnoise.config.replaced import drop_replaced_options
from labelnoise.config.score import score_of
from labelnoise.sweeps.jobs import train_in_sweep
from labelnoise.sweeps.ledger import hash_of, refusal_recorded
from labelnoise.sweeps.report import sweep_reported

register_schema()


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="config")
def run(cfg: DictConfig) -> float:
    """Check the configuration, train, and return the score of the network that the run keeps."""
    now = HydraConfig.get()
    directory = Path(now.runtime.output_dir)
    words, alone = now.overrides.task, now.mode == RunMode.RUN
    refusals = nullcontext() if alone else refusal_recorded(directory, hash_of(cfg), words)
    with job(directory, alone=alone):
        with refusals:
            check(cfg)
            # Imported here, because these modules import torch.
            from labelnoise.training.building import one_line_refusals
            from labelnoise.training.train import train

            with one_line_refusals():
                for line in drop_replaced_options(cfg, words):
                    print(line)
        summary = (train if alone else train_in_sweep)(cfg, directory, words)
    return score_of(summary, cfg.score)


def main() -> None:
    """Run the command with the words in ``sys.argv``."""
    with one_line_errors(), sweep_reported():
        run()
