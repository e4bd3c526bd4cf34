"""train(cfg): build the parts, fit, test, and leave the run directory."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from labelnoise.checkpoints import ResumeCheckpoint, check_readable
from labelnoise.classifier import NoisyLabelClassifier
from labelnoise.config import check, config_hash
from labelnoise.data.images import ImageDataModule
from labelnoise.data.module import NoisyLabelDataModule, steps_per_epoch
from labelnoise.distributed import (
    EqualBuffers,
    is_rank_zero,
    leave_together,
    rank,
    world_size,
)
from labelnoise.errors import InputError
from labelnoise.isolation import isolated, logging_to, seed_globally
from labelnoise.launcher import launch, plugins, processes_of
from labelnoise.monitors import Monitor
from labelnoise.options import check_options
from labelnoise.report.figures import write_figures
from labelnoise.report.summary import summarize, write_summary
from labelnoise.report.suspects import summarize_suspects
from labelnoise.report.tables import print_summary
from labelnoise.report.tensorboard import add_layout, add_results
from labelnoise.run_directory import RunDirectory, claim
from labelnoise.schedules import check_schedule
from labelnoise.seeding import derive_seed
from labelnoise.techniques import Loss, Technique, check_composition, learner_of

log = logging.getLogger(__name__)


class ProgressBar(RichProgressBar):
    """Lightning's bar without its version number, which names nothing here."""

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


# What libraries raise for values of a wrong type or size; InputErrors say more and pass through.
_REFUSALS: tuple[type[Exception], ...] = (
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RuntimeError,
    MemoryError,
    MisconfigurationException,
)


@dataclass
class Parts:
    """Everything that one run is made of, ready to fit."""

    datamodule: NoisyLabelDataModule
    classifier: NoisyLabelClassifier
    monitors: dict[str, Monitor]
    techniques: dict[str, Technique]
    trainer: pl.Trainer


def train(
    cfg: DictConfig, directory: str | Path | None = None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Run one experiment and return its summary, the contents of summary.json.

    Where ``cfg.trainer`` asks for several devices, a process for each is started here and waited
    for; this one only keeps the directory.

    Calling it again for a directory in which the same run was interrupted continues that run, with
    the same results bit for bit on one machine; for one in which it finished, it returns what is
    there.

    Args:
        cfg: the composed configuration, for example ``labelnoise.compose(["noise_rate=0.3"])``.
        directory: where the run is left; None is ``cfg.output_dir/cfg.name``.
        overrides: what was typed, kept for reports on many runs.

    Raises:
        InputError: something in the configuration or the data cannot be used.
    """
    check(cfg)
    path = Path(cfg.output_dir, cfg.name) if directory is None else Path(directory)
    if cfg.resume is not None:
        cfg, path, overrides = _interrupted_run(cfg, path, overrides)
    with claim(path, cfg, overrides) as run, isolated(cfg.seed, cfg.threads), logging_to(run.log):
        if run.summary.exists():
            log.info("%s is finished already", run.path)
        else:
            with _one_line_refusals():
                processes = processes_of(cfg.trainer)
            if processes:
                _launch(cfg, run, overrides, processes)
            else:
                _run(cfg, run, overrides)
        summary = run.read_summary()
        if cfg.trainer.get("enable_progress_bar", True):
            print_summary(summary, run.path)
        return summary


def run_rank(cfg: DictConfig, path: Path, overrides: Sequence[str]) -> None:
    """One of several processes that train a run, in a directory that their launcher holds."""
    run = RunDirectory(path)
    with isolated(cfg.seed, cfg.threads), logging_to(run.log if is_rank_zero() else None):
        _run(cfg, run, overrides)
        leave_together()


def _launch(cfg: DictConfig, run: RunDirectory, overrides: Sequence[str], processes: int) -> None:
    with _one_line_refusals():
        # Once, before all of them look for the files.
        instantiate(cfg.data)(noise=instantiate(cfg.noise)).prepare_data()
    log.info("training on %d processes", processes)
    try:
        launch(cfg, run.path, overrides, processes)
    except (KeyboardInterrupt, SystemExit) as reason:
        log.info("interrupted; take it to its end with: python run.py resume=%s", run.path)
        raise SystemExit(reason.code if isinstance(reason, SystemExit) else 130) from None


@contextmanager
def _one_line_refusals() -> Iterator[None]:
    """Around building: what a library refuses becomes an InputError, with the library's reason."""
    try:
        yield
    except (InputError, InstantiationException):  # say themselves what is wrong
        raise
    except _REFUSALS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"this configuration cannot be built: {reason} (HYDRA_FULL_ERROR=1 shows where)"
        ) from error


def build_learner(
    cfg: DictConfig, learner: type[NoisyLabelClassifier] = NoisyLabelClassifier
) -> tuple[NoisyLabelDataModule, NoisyLabelClassifier]:
    """The data, read and flipped, and the untrained classifier, whose size follows from them."""
    datamodule = instantiate(cfg.data)(noise=instantiate(cfg.noise))
    datamodule.prepare_data()
    datamodule.setup("fit")
    make: Callable[..., NoisyLabelClassifier] = learner  # each takes networks in its own number
    classifier = make(
        *_networks(cfg, datamodule, learner.network_count),
        instantiate(cfg.optimizer),
        **_schedule(cfg, datamodule),
        # A run begun by an earlier version is resumed without them.
        channels_last=cfg.get("channels_last", False),
        compile=cfg.get("compile", False),
    )
    classifier.configure_optimizers()  # what torch refuses in their options is told here
    return datamodule, classifier


def build(cfg: DictConfig, run: RunDirectory) -> Parts:
    """Instantiate the parts; the data are read and flipped here, since the model's size follows."""
    check_options(cfg)
    techniques = build_techniques(cfg)
    datamodule, classifier = build_learner(cfg, learner_of(techniques))
    # Monitors look before techniques change anything at the same step.
    monitors = {str(name): instantiate(node) for name, node in cfg.monitor.items()}
    callbacks = [*monitors.values(), *techniques.values()]
    if world_size() > 1:
        callbacks.insert(0, EqualBuffers())
    callbacks.append(ResumeCheckpoint(run.last_checkpoint, cfg.checkpoint_every_n_steps))
    if cfg.keep_checkpoint_every_n_epochs is not None:
        callbacks.append(_kept_checkpoints(run, cfg.keep_checkpoint_every_n_epochs))
    if cfg.trainer.get("enable_progress_bar", True):
        callbacks.append(ProgressBar(refresh_rate=20))
    trainer = instantiate(cfg.trainer)(
        callbacks=callbacks,
        logger=_loggers(cfg, run),
        default_root_dir=run.path,
        val_check_interval=cfg.eval_every_n_steps or 1.0,
        # Counted over the whole training, also where an epoch is shorter than the interval.
        check_val_every_n_epoch=None if cfg.eval_every_n_steps else 1,
        **({"plugins": plugins()} if world_size() > 1 else {}),
    )
    return Parts(datamodule, classifier, monitors, techniques, trainer)


def build_techniques(cfg: DictConfig) -> dict[str, Technique]:
    """The techniques by name; a loss that is a plain function is made one."""
    parts = {str(name): instantiate(node) for name, node in cfg.technique.items()}
    techniques = {n: p if isinstance(p, Technique) else Loss(p) for n, p in parts.items()}
    check_composition(techniques)
    return techniques


def _networks(cfg: DictConfig, datamodule: NoisyLabelDataModule, count: int) -> list[nn.Module]:
    """Networks of one architecture; the first is that of a run with one, the others differ."""
    dtype = datamodule.train.batch(slice(1)).input.dtype
    shape = {"input_shape": datamodule.input_shape, "num_classes": datamodule.num_classes}
    seeds = [{"seed": derive_seed(cfg.model.seed, "network", i)} for i in range(1, count)]
    return [instantiate(cfg.model)(**shape, **seed).to(dtype) for seed in ({}, *seeds)]


def _schedule(cfg: DictConfig, datamodule: NoisyLabelDataModule) -> dict[str, Any]:
    """The classifier's ``scheduler`` and ``interval``; neither for a constant rate."""
    plain = OmegaConf.to_container(cfg.scheduler, resolve=True)
    assert isinstance(plain, dict)
    options = {str(key): value for key, value in plain.items()}
    if not options:
        return {}
    batches = len(datamodule.train_dataloader())
    steps_per_epoch = math.ceil(batches / cfg.trainer.get("accumulate_grad_batches", 1))
    check_schedule(options, steps_per_epoch, cfg.max_steps, cfg.max_epochs)
    interval = options.pop("interval", "epoch")
    return {"scheduler": instantiate(options), "interval": interval}


def _run(cfg: DictConfig, run: RunDirectory, overrides: Sequence[str]) -> None:
    started = time.monotonic()
    checkpoint = run.last_checkpoint if run.last_checkpoint.exists() else None
    if checkpoint:
        check_readable(checkpoint)
        log.info("resuming from %s", checkpoint)
    with _one_line_refusals():
        parts = build(cfg, run)
    if rank() > 0:
        seed_globally(cfg.seed, rank())  # the networks are alike, their dropout is not
    trainer, classifier, datamodule = parts.trainer, parts.classifier, parts.datamodule
    if is_rank_zero():
        datamodule.noise_record.save(run.noise)
    log.info("noise: %s", datamodule.noise_record.describe())
    for logger in trainer.loggers:
        add_layout(logger)
    try:
        trainer.fit(classifier, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # what Lightning makes of Ctrl-C and of SIGTERM, the latter with status 0
        log.info("interrupted; take it to its end with: python run.py resume=%s", run.path)
        raise SystemExit(143 if trainer.received_sigterm else 130) from None
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            f"batch norm needs two samples, and the last batch of {len(datamodule.train)} training "
            f"samples in batches of {cfg.batch_size} has one: write another batch_size"
        ) from error
    classifier.to(trainer.strategy.root_device)  # from which Lightning has taken it
    step = trainer.global_step
    reports = [technique.report() for technique in parts.techniques.values()]
    stopped_early = any(report.get("stopped_step") is not None for report in reports)
    final = {f"train/{k}": v for k, v in classifier.evaluate(datamodule.train).items()}
    if datamodule.val is not None:
        final["val/acc"] = classifier.evaluate(datamodule.val)["acc"]
    trainer.test(classifier, datamodule=datamodule, verbose=False)
    # Lightning averages in single precision: beyond six digits there is only rounding.
    tested = {k: round(v.item(), 6) for k, v in trainer.callback_metrics.items()}
    final |= {k: v for k, v in tested.items() if k.startswith("test/")}
    if is_rank_zero():
        run.checkpoints.mkdir(exist_ok=True)
    trainer.save_checkpoint(run.selected_checkpoint, weights_only=True)
    if not is_rank_zero():
        return
    for monitor in parts.monitors.values():
        monitor.save(run)
    classifier.history.write_csv(run.metrics)
    suspects = summarize_suspects(run, classifier.history)
    summary = summarize(
        cfg,
        datamodule=datamodule,
        history=classifier.history,
        techniques=parts.techniques,
        final=final,
        run={
            "status": "stopped_early" if stopped_early else "finished",
            "step": step,
            "seconds": round(time.monotonic() - started, 2),
            "config_hash": config_hash(cfg),
            "overrides": list(overrides),
        },
        suspects=suspects,
        steps_per_epoch=_steps_per_epoch(trainer, datamodule),
    )
    figures = write_figures(run, classifier.history, summary)
    for logger in trainer.loggers:
        add_results(logger, cfg, summary, figures)
        logger.finalize("success")
    # Last: a directory with a summary is a run that is complete.
    write_summary(run.summary, summary)


def _steps_per_epoch(trainer: pl.Trainer, datamodule: NoisyLabelDataModule) -> int | None:
    """Optimizer steps in a pass over the training data; None where training is counted in steps."""
    if not isinstance(datamodule, ImageDataModule):
        return None
    return steps_per_epoch(trainer)


def _interrupted_run(
    cfg: DictConfig, path: Path, overrides: Sequence[str]
) -> tuple[DictConfig, Path, Sequence[str]]:
    """The configuration and directory that ``resume`` names, in place of those just composed."""
    others = [word for word in overrides if not word.startswith("resume=")]
    if others:
        raise InputError(
            f"resume takes the configuration from {cfg.resume}, give it alone, without "
            f"{' '.join(others)}"
        )
    interrupted = RunDirectory(Path(cfg.resume))
    if not interrupted.config.is_file():
        raise InputError(f"resume={cfg.resume} holds no run: it has no .hydra/config.yaml")
    remembered = OmegaConf.load(interrupted.config)
    assert isinstance(remembered, DictConfig)
    typed = list(OmegaConf.load(interrupted.overrides))
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()  # the directory made for a new run
    return remembered, interrupted.path, typed


def _kept_checkpoints(run: RunDirectory, every_n_epochs: int) -> ModelCheckpoint:
    """Weights alone, as checkpoints/step_000790.ckpt: for attribution maps, not for resuming."""
    return ModelCheckpoint(
        dirpath=run.checkpoints,
        filename="step_{step:06d}",
        auto_insert_metric_name=False,
        every_n_epochs=every_n_epochs,
        save_top_k=-1,
        save_weights_only=True,
        save_on_train_epoch_end=True,
        enable_version_counter=False,  # a resumed run writes the same again
    )


def _loggers(cfg: DictConfig, run: RunDirectory) -> list[Logger]:
    if not is_rank_zero():
        return []
    return [
        instantiate(node, save_dir=str(run.path), name="", version="tensorboard")
        for node in cfg.logger.values()
    ]
