"""A process that trains one fold, started by :mod:`labelnoise.audit.folds`."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from labelnoise.processes.interrupts import take_over_from_parent


def _main(orders: str, path: str) -> None:
    """Train the run of ``orders``/config.yaml in ``path``; a failure is written to ``orders``."""
    take_over_from_parent()  # before the slow imports, so that no process outlives the audit
    from omegaconf import DictConfig, OmegaConf

    from labelnoise.config.command_line import explain
    from labelnoise.files.writing import write_json
    from labelnoise.training.train import train

    cfg = OmegaConf.load(Path(orders, "config.yaml"))
    assert isinstance(cfg, DictConfig)
    try:
        train(cfg, path)
    except Exception as error:
        failure = {"line": explain(error), "traceback": traceback.format_exc()}
        write_json(Path(orders, "failure.json"), failure)
        sys.exit(1)


if __name__ == "__main__":
    _main(*sys.argv[1:])
