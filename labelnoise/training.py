"""train(cfg): build the parts, fit, test, and leave the run directory."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from labelnoise.building import build, build_data, one_line_refusals
from labelnoise.checkpoints import check_readable
from labelnoise.config import check, config_hash
from labelnoise.data.images import ImageDataModule
from labelnoise.data.module import NoisyLabelDataModule, steps_per_epoch
from labelnoise.distributed import (
    is_rank_zero,
    leave_together,
    rank,
)
from labelnoise.errors import InputError
from labelnoise.isolation import isolated, logging_to, seed_globally
from labelnoise.launcher import launch, processes_of
from labelnoise.options import check_options
from labelnoise.report.figures import write_figures
from labelnoise.report.summary import summarize, write_summary
from labelnoise.report.suspects import summarize_suspects
from labelnoise.report.tables import print_summary
from labelnoise.report.tensorboard import add_layout, add_results
from labelnoise.run_directory import RunDirectory, claim
from labelnoise.targets import allowed_modules

log = logging.getLogger(__name__)


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
            with one_line_refusals():
                processes = processes_of(cfg.trainer, allowed_modules(cfg))
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
    with one_line_refusals():
        check_options(cfg)
        # Once, before all of them look for the files.
        build_data(cfg).prepare_data()
    log.info("training on %d processes", processes)
    try:
        launch(cfg, run.path, overrides, processes)
    except (KeyboardInterrupt, SystemExit) as reason:
        log.info("interrupted; take it to its end with: python run.py resume=%s", run.path)
        raise SystemExit(reason.code if isinstance(reason, SystemExit) else 130) from None


def _run(cfg: DictConfig, run: RunDirectory, overrides: Sequence[str]) -> None:
    started = time.monotonic()
    checkpoint = run.last_checkpoint if run.last_checkpoint.exists() else None
    if checkpoint:
        check_readable(checkpoint)
        log.info("resuming from %s", checkpoint)
    with one_line_refusals():
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
    interrupted = RunDirectory(Path(cfg.resume))
    if not interrupted.config.is_file():
        what = "has no .hydra/config.yaml" if interrupted.path.is_dir() else "is no folder"
        raise InputError(f"resume={cfg.resume} holds no run: it {what}")
    others = [w for w in overrides if not w.startswith(("resume=", "allow_targets="))]
    if others:
        raise InputError(
            f"resume takes the configuration from {cfg.resume}, give it alone, without "
            f"{' '.join(others)}"
        )
    remembered = OmegaConf.load(interrupted.config)
    assert isinstance(remembered, DictConfig)
    remembered.allow_targets = allowed_modules(cfg)  # as typed now, whatever that directory says
    check(remembered)
    typed = list(OmegaConf.load(interrupted.overrides))
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()  # the directory made for a new run
    return remembered, interrupted.path, typed
