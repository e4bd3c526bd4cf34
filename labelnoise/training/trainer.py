"""Build Lightning's trainer of a run, with its callbacks and loggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import Logger, TensorBoardLogger

from labelnoise.config.targets import allowed_modules, find, instantiate
from labelnoise.monitors import Monitor
from labelnoise.processes.distributed import EqualBuffers, is_rank_zero, world_size
from labelnoise.run_directory import RunDirectory
from labelnoise.techniques import Technique
from labelnoise.training.checkpoints import ResumeCheckpoint, WholeFiles
from labelnoise.training.launcher import plugins


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


def _loggers(cfg: DictConfig, run: RunDirectory, resumed_step: int | None) -> list[Logger]:
    """The loggers of the run; TensorBoard drops the old entries after the resumed checkpoint.

    The resumed run logs the steps after this checkpoint again.
    """
    if not is_rank_zero():
        return []
    allowed = allowed_modules(cfg)
    purge = {"purge_step": 0 if resumed_step is None else resumed_step + 1}
    again = purge if run.tensorboard.exists() else {}
    return [
        instantiate(
            node,
            allowed,
            save_dir=str(run.path),
            name="",
            version="tensorboard",
            **(again if issubclass(find(node._target_, allowed), TensorBoardLogger) else {}),
        )
        for node in cfg.logger.values()
    ]


class ProgressBar(RichProgressBar):
    """Lightning's progress bar without the version number, which has no meaning here."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
