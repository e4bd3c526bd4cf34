"""``python audit.py``, or ``labelnoise-audit``: judge every label of a data set."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from labelnoise.audit.config import check, register_schema
from labelnoise.config import CONF_DIR
from labelnoise.config.command_line import job, one_line_errors
from labelnoise.sweeps.ledger import hash_of, recorded
from labelnoise.sweeps.unfinished import unfinished_listed

register_schema()


@hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="audit")
def run(cfg: DictConfig) -> float:
    """Check the configuration, train the folds, and return the estimated noise rate."""
    now = HydraConfig.get()
    directory = Path(now.runtime.output_dir)
    words, alone = now.overrides.task, now.mode == RunMode.RUN
    entry = nullcontext() if alone else recorded(directory, hash_of(cfg), words, "audit.json")
    with job(directory, alone=alone), entry:
        check(cfg)
        from labelnoise.audit.audit import audit  # imports torch

        found = audit(cfg, directory, words)
    return float(found["noise_rate"])


def main() -> None:
    """Run the command with the words in ``sys.argv``."""
    with one_line_errors("audit"), unfinished_listed():
        run()
