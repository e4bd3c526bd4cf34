"""The checkpoint that an interrupted run continues from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from labelnoise.errors import InputError


class ResumeCheckpoint(Checkpoint):
    """Saves ``path`` between two steps, when all that was due at the last one has been done.

    Lightning's ModelCheckpoint saves at the end of a batch, before the validation due at that very
    step; a run resumed from there would never make it. Where several processes train the run, all
    of them save at the same step: rank 0 writes, the others wait.

    Args:
        path: replaced whole at every save, so that a run killed while saving keeps the one before.
        every_n_steps: the interval in optimizer steps; None saves once an epoch.
    """

    def __init__(self, path: Path, every_n_steps: int | None) -> None:
        self.path = path
        self.every_n_steps = every_n_steps
        self.saved_step = 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        due = batch_idx == 0 if self.every_n_steps is None else step % self.every_n_steps == 0
        if due and step > self.saved_step:
            self.saved_step = step
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            self.path.parent.mkdir(exist_ok=True)
        part = self.path.with_suffix(".part")
        # The coming batch counts as ready already; a resumed run will make it ready itself.
        progress = trainer.fit_loop.epoch_loop.batch_progress
        for count in (progress.current, progress.total):
            count.ready -= 1
        trainer.save_checkpoint(part)
        for count in (progress.current, progress.total):
            count.ready += 1
        if trainer.is_global_zero:
            os.replace(part, self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"saved_step": self.saved_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.saved_step = state_dict["saved_step"]


def check_readable(path: Path) -> None:
    """Refuse a damaged checkpoint before anything is built for it.

    Raises:
        InputError: the file is truncated, or holds more than tensors and plain values.
    """
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(
            f"{path} cannot be read, it is damaged: delete it to train that run from its start"
        ) from error
