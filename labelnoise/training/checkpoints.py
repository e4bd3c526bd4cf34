"""Checkpoints for resuming an interrupted run: save them, and find the newest intact one."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from labelnoise.errors import InputError
from labelnoise.files.writing import rename, replacing, sha256
from labelnoise.processes.distributed import agreed
from labelnoise.processes.interrupts import Interrupted, received, take_signals
from labelnoise.run_directory import RunDirectory
from labelnoise.state import Stateful

log = logging.getLogger(__name__)

# Number of checksums in the manifest: two for the files on disk, and one more because the process
# can be killed between two renames.
_REMEMBERED = 3


class WholeFiles(TorchCheckpointIO):
    """Writes each checkpoint completely or not at all, directly in its folder.

    Lightning's own writer uses the temporary folder of the system first.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        # In memory first: on a full disk the error of torch.save does not name the cause.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            file.write(content.getbuffer())


class ResumeCheckpoint(Stateful, Checkpoint):
    """Saves ``last.ckpt`` between two steps, after the validation and the callbacks of the first.

    Lightning's ModelCheckpoint saves at the end of a batch, before the validation of the same step.
    A run that is resumed from its checkpoint would skip this validation. All processes of a run
    save at the same step: rank 0 writes, and the others wait.

    After a deferred signal, the run is saved and interrupted before the next step.

    Args:
        run: the run directory; ``previous.ckpt`` is the checkpoint before ``last.ckpt``.
        every_n_steps: the interval in optimizer steps; None saves once an epoch.
    """

    state = ("saved_step",)

    def __init__(self, run: RunDirectory, every_n_steps: int | None) -> None:
        self.run = run
        self.every_n_steps = every_n_steps
        self.saved_step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        take_signals()  # because Lightning has installed its own handlers

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx % trainer.accumulate_grad_batches:
            return  # a checkpoint has no accumulated gradients
        step = trainer.global_step
        due = batch_idx == 0 if self.every_n_steps is None else step % self.every_n_steps == 0
        (signal,) = agreed(float(received() or 0))
        if (due or signal) and step > self.saved_step:
            self.saved_step = step
            self._save(trainer)
        if signal:
            log.info("interrupted at step %d", step)
            raise Interrupted(int(signal))

    def _save(self, trainer: pl.Trainer) -> None:
        part = self.run.last_checkpoint.with_name(".last.ckpt.new")
        with _between_batches(trainer):
            trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            keep(self.run, part, trainer.global_step)


@contextmanager
def _between_batches(trainer: pl.Trainer) -> Iterator[None]:
    """Set Lightning's progress back to the state before the next batch was made ready.

    A resumed run makes this batch ready again. Otherwise, in an epoch of one batch, the saved
    progress would say "last batch", and the resumed run would count this epoch as done.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    was_last, progress.is_last_batch = progress.is_last_batch, False
    for count in (progress.current, progress.total):
        count.ready -= 1
    try:
        yield
    finally:
        progress.is_last_batch = was_last
        for count in (progress.current, progress.total):
            count.ready += 1


def keep(run: RunDirectory, part: Path, step: int) -> None:
    """Rename ``last.ckpt`` to ``previous.ckpt``, and ``part`` to ``last.ckpt``."""
    known = list(run.manifest.section("checkpoints").items())
    known.append((sha256(part), step))
    run.manifest.update(checkpoints=dict(known[-_REMEMBERED:]))
    if run.last_checkpoint.exists():
        rename(run.last_checkpoint, run.previous_checkpoint)
    rename(part, run.last_checkpoint)


def newest(run: RunDirectory) -> tuple[Path, int] | None:
    """The checkpoint from which to continue and its step; None if the run has to start at step 0.

    If ``last.ckpt`` is missing or damaged, ``previous.ckpt`` replaces it, with a warning.

    Raises:
        InputError: no checkpoint is intact.
    """
    known = run.manifest.section("checkpoints")
    if not known:
        return None
    damaged = []
    for file in (run.last_checkpoint, run.previous_checkpoint):
        step = known.get(sha256(file)) if file.is_file() else None
        if step is None:
            damaged.append(file)
            continue
        if damaged:
            state = "is damaged" if damaged[0].exists() else "is missing"
            log.warning("%s %s: continuing from %s, step %d", damaged[0], state, file.name, step)
            rename(file, run.last_checkpoint)
        return run.last_checkpoint, int(step)
    there = [file.name for file in damaged if file.exists()]
    if there:
        raise InputError(
            f"{run.checkpoints / there[0]} is damaged or belongs to another run, and no other "
            f"checkpoint is intact: delete {' and '.join(there)} to train this run from its start"
        )
    log.warning("%s no longer has a checkpoint: training from the start", run.checkpoints)
    return None
