"""The directory of one run: taken by one process at a time, resumed, and never overwritten."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from labelnoise.command_line import explain
from labelnoise.config import config_hash, differences
from labelnoise.errors import InputError


class RunDirectory:
    """Where a run writes; the names of its files are the contract that reports rely on."""

    def __init__(self, path: str | Path) -> None:
        self.path = path = Path(path)
        self.config = path / ".hydra" / "config.yaml"
        self.overrides = path / ".hydra" / "overrides.yaml"
        self.log = path / "run.log"
        self.noise = path / "noise.npz"
        self.metrics = path / "metrics.csv"
        self.coefficients = path / "coefficients.npz"
        self.gradients = path / "gradients.npz"
        self.dynamics = path / "dynamics"
        self.suspects = path / "suspects.csv"
        self.figures = path / "figures"
        self.tensorboard = path / "tensorboard"
        self.checkpoints = path / "checkpoints"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.selected_checkpoint = self.checkpoints / "selected.ckpt"
        self.summary = path / "summary.json"

    def read_summary(self) -> dict[str, Any]:
        """The finished run's summary.

        Raises:
            InputError: no finished run lies here.
        """
        if not self.summary.is_file():
            raise InputError(f"{self.path} holds no finished run: it has no summary.json")
        summary: dict[str, Any] = json.loads(self.summary.read_text())
        return summary


@contextmanager
def claim(path: Path, cfg: DictConfig, overrides: Sequence[str]) -> Iterator[RunDirectory]:
    """Hold ``path`` for one run of ``cfg``, as long as the block lasts, even if it is killed.

    A new directory gets the configuration in ``.hydra``. One that holds the same run is given back
    as it is, so that the run can be resumed or, when it is finished, read.

    Raises:
        InputError: another process writes there, or another run's results lie there.
    """
    directory = RunDirectory(path)
    path.mkdir(parents=True, exist_ok=True)
    if not _is_fresh(directory):  # before anything of ours lies there
        _refuse_another_run(directory, cfg)
    lock = FileLock(path / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"another process is writing to {path}: choose another name=") from None
    fresh = False
    try:
        fresh = _is_fresh(directory)
        if not fresh:  # another process may have begun here meanwhile
            _refuse_another_run(directory, cfg)
        else:
            directory.config.parent.mkdir(exist_ok=True)
            directory.overrides.write_text(OmegaConf.to_yaml(list(overrides)))
            part = directory.config.with_suffix(".part")
            OmegaConf.save(cfg, part, resolve=True)
            os.replace(part, directory.config)
        yield directory
    except Exception as error:
        if fresh and not directory.checkpoints.exists() and explain(error) is not None:
            _free(directory)
        raise
    finally:
        lock.release()


def _is_fresh(directory: RunDirectory) -> bool:
    """Whether no run lies there; one killed while it started has left no more than these."""
    begun = {".lock", ".hydra", directory.log.name}
    found = {entry.name for entry in directory.path.iterdir()}
    return found <= begun and not directory.config.is_file()


def _free(directory: RunDirectory) -> None:
    """Take away what was written before training began: the name is free for a corrected command.

    Only the files that this module and the run's start wrote; whatever else is there stays.
    """
    for file in (directory.config, directory.overrides, directory.noise, directory.log):
        file.unlink(missing_ok=True)
    (directory.path / ".lock").unlink(missing_ok=True)
    for folder in (directory.tensorboard, directory.dynamics):
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        directory.config.parent.rmdir()
        directory.path.rmdir()


def _refuse_another_run(directory: RunDirectory, cfg: DictConfig) -> None:
    if not directory.config.is_file():
        raise InputError(
            f"{directory.path} is not empty and holds no run: choose another name= or output_dir="
        )
    other = OmegaConf.load(directory.config)
    assert isinstance(other, DictConfig)
    if config_hash(other) != config_hash(cfg):
        changed = "; ".join(differences(cfg, other))
        raise InputError(
            f"{directory.path} holds another run, nothing was changed there ({changed}): "
            "choose another name="
        )
