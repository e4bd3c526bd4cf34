"""Build Lightning's trainer of a run, with its callbacks and loggers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from labelnoise.config.targets import allowed_modules, find, instantiate
from labelnoise.monitors import Monitor
from labelnoise.processes.distributed import EqualBuffers, is_rank_zero, world_size
from labelnoise.report.trackers.csv_file import CsvFile
from labelnoise.report.trackers.mlflow import MLflow
from labelnoise.report.trackers.tensorboard import TensorBoard
from labelnoise.report.trackers.tracker import Tracker
from labelnoise.report.trackers.wandb import Wandb
from labelnoise.run_directory import RunDirectory
from labelnoise.techniques import Technique
from labelnoise.training.checkpoints import ResumeCheckpoint, WholeFiles
from labelnoise.training.launcher import plugins

# The tracker for each of Lightning's loggers; for another logger it is Tracker itself.
TRACKERS: dict[type[Logger], type[Tracker]] = {
    TensorBoardLogger: TensorBoard,
    CSVLogger: CsvFile,
    WandbLogger: Wandb,
    MLFlowLogger: MLflow,
}


def build_trainer(
    cfg: DictConfig,
    run: RunDirectory,
    monitors: Mapping[str, Monitor],
    techniques: Mapping[str, Technique],
    resumed_step: int | None,
) -> pl.Trainer:
    """The trainer of ``cfg.trainer``; ``run`` and ``resumed_step`` are as in ``building.build``."""
    trainer: pl.Trainer = instantiate(cfg.trainer, allowed_modules(cfg))(
        callbacks=_callbacks(cfg, run, monitors, techniques),
        logger=_loggers(cfg, run, resumed_step),
        default_root_dir=run.path,
        val_check_interval=cfg.eval_every_n_steps or 1.0,
        # The classifier measures the whole validation split at the first batch.
        limit_val_batches=1,
        # With None Lightning counts steps across epochs; an epoch can be shorter than the interval.
        check_val_every_n_epoch=None if cfg.eval_every_n_steps else 1,
        plugins=[WholeFiles(), *plugins()],
    )
    return trainer


def _callbacks(
    cfg: DictConfig,
    run: RunDirectory,
    monitors: Mapping[str, Monitor],
    techniques: Mapping[str, Technique],
) -> list[pl.Callback]:
    """In the order in which Lightning calls them at a step: monitors before techniques."""
    callbacks: list[pl.Callback] = [*monitors.values(), *techniques.values()]
    if world_size() > 1:
        callbacks.insert(0, EqualBuffers())
    callbacks.append(KeepTrackers())
    callbacks.append(ResumeCheckpoint(run, cfg.checkpoint_every_n_steps))
    if cfg.keep_checkpoint_every_n_epochs is not None:
        callbacks.append(_kept_checkpoints(run, cfg.keep_checkpoint_every_n_epochs))
    if cfg.trainer.get("enable_progress_bar", True):
        callbacks.append(ProgressBar(refresh_rate=20))
    return callbacks


def _kept_checkpoints(run: RunDirectory, every_n_epochs: int) -> ModelCheckpoint:
    """The callback that saves weights, for example as checkpoints/step_000790.ckpt.

    The files are for attribution maps; a run cannot be resumed from them.
    """
    return ModelCheckpoint(
        dirpath=run.checkpoints,
        filename="step_{step:06d}",
        auto_insert_metric_name=False,
        every_n_epochs=every_n_epochs,
        save_top_k=-1,
        save_weights_only=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,  # a resumed run overwrites the files with equal files
    )


def check_loggers(cfg: DictConfig) -> None:
    """Refuse a logger without its package, key or server, before any work.

    Raises:
        InputError: names the logger and the remedy.
    """
    for name, node in cfg.logger.items():
        _tracker_of(node, allowed_modules(cfg)).check(str(name), node)


def _loggers(cfg: DictConfig, run: RunDirectory, resumed_step: int | None) -> list[Tracker]:
    """The trackers of the run; only one of its processes has them."""
    if not is_rank_zero():
        return []
    allowed = allowed_modules(cfg)
    trackers: list[Tracker] = []
    try:
        for name, node in cfg.logger.items():
            make = partial(instantiate, node, allowed)
            trackers.append(_tracker_of(node, allowed)(str(name), make, cfg, run, resumed_step))
    except Exception:
        for tracker in trackers:
            tracker.close("failed")
        raise
    return trackers


def _tracker_of(node: DictConfig, allowed: list[str]) -> type[Tracker]:
    logger = find(node._target_, allowed)
    return next(
        (tracker for kind, tracker in TRACKERS.items() if issubclass(logger, kind)), Tracker
    )


def trackers_of(trainer: pl.Trainer) -> list[Tracker]:
    """The trackers of a run; Lightning knows them as loggers."""
    return [logger for logger in trainer.loggers if isinstance(logger, Tracker)]


@contextmanager
def closed_at_the_end(trainer: pl.Trainer) -> Iterator[None]:
    """End the records of the trackers, also if the run fails or is interrupted."""
    status = "failed"
    try:
        yield
        status = "success"
    finally:
        for tracker in trackers_of(trainer):
            tracker.close(status)


class KeepTrackers(pl.Callback):
    """Gives the trackers the metrics of a checkpoint, and has them write theirs before one."""

    def on_save_checkpoint(self, trainer: pl.Trainer, *_: Any) -> None:
        for tracker in trackers_of(trainer):
            tracker.flush()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        for tracker in trackers_of(trainer):
            tracker.resume(checkpoint["history"])


class ProgressBar(RichProgressBar):
    """Lightning's progress bar without the version number, which has no meaning here."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
