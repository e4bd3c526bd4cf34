"""train(cfg): build the parts, fit, test, and write the run directory."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from labelnoise.config.command_line import resume_command
from labelnoise.config.composition import check, check_stored, config_hash
from labelnoise.config.options import check_options
from labelnoise.config.targets import allowed_modules
from labelnoise.data.module import NoisyLabelDataModule, steps_per_epoch
from labelnoise.errors import InputError
from labelnoise.files.tables import write_rows
from labelnoise.files.writing import sha256
from labelnoise.measures.coefficients import theory_t1
from labelnoise.noise import NoiseRecord
from labelnoise.processes.alone import check_alone
from labelnoise.processes.distributed import (
    is_rank_zero,
    leave_together,
    rank,
)
from labelnoise.processes.interrupts import deferred, interruptible
from labelnoise.processes.logs import logging_to
from labelnoise.report.html.render import write_page
from labelnoise.report.html.run import page_of_run
from labelnoise.report.loaded import load_run
from labelnoise.report.pictures.run import write_figures
from labelnoise.report.tables.console import print_summary
from labelnoise.report.tables.summary import selecting_metric, summarize, write_summary
from labelnoise.report.tables.suspects import summarize_suspects
from labelnoise.run_directory import RunDirectory, claim
from labelnoise.training.building import Parts, Watcher, build, data_to_read, one_line_refusals
from labelnoise.training.checkpoints import newest
from labelnoise.training.isolation import isolated, seed_globally
from labelnoise.training.launcher import launch, processes_of
from labelnoise.training.trainer import check_loggers, closed_at_the_end, trackers_of

log = logging.getLogger(__name__)


def train(
    cfg: DictConfig,
    directory: str | Path | None = None,
    overrides: Sequence[str] = (),
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Run one experiment and return its summary, the contents of summary.json.

    If ``cfg.trainer`` selects several devices, one process for each device trains the run, and this
    process waits.

    If the directory has an interrupted run of the same configuration, the call continues this run.
    On the same machine the results are then the same bit for bit as without the interruption. If
    the run in the directory is finished, the call returns its summary.

    Args:
        cfg: the composed configuration, for example ``labelnoise.compose(["noise_rate=0.3"])``.
        directory: the run directory; None is ``cfg.output_dir/cfg.name``.
        overrides: the options of the command line, for reports on several runs.
        watcher: may end the run early; the run then has the status "pruned".

    Raises:
        InputError: the configuration or the data cannot be used, or this process is one of several
            processes of a launcher.
    """
    check_alone()
    with interruptible():
        path = Path(cfg.output_dir, cfg.name) if directory is None else Path(directory)
        if cfg.resume is not None:
            cfg, path, overrides = _interrupted_run(cfg, path, overrides)
            check_stored(cfg)
        else:
            check(cfg)
        with (
            claim(path, cfg, overrides) as run,
            isolated(cfg.seed, _threads(cfg, run)),
            logging_to(run.log),
        ):
            _complete(cfg, run, overrides, watcher)
            summary = run.read_summary()
            if cfg.get("report", "none") == "html":
                log.info("%s", write_page(page_of_run(load_run(run.path)), run.report))
            if cfg.trainer.get("enable_progress_bar", True):
                print_summary(summary, run.path)
            return summary


def _threads(cfg: DictConfig, run: RunDirectory) -> int:
    """The threads of a run: those with which it began, because its results depend on them."""
    if cfg.threads is not None:
        return int(cfg.threads)
    count = run.manifest.section("threads").get("count")
    if count is None:
        count = torch.get_num_threads()
        if not run.summary.exists():
            run.manifest.update(threads={"count": count})
    return int(count)


def _complete(
    cfg: DictConfig, run: RunDirectory, overrides: Sequence[str], watcher: Watcher | None
) -> None:
    """Train the run or continue it; if the run is finished, check its files."""
    with one_line_refusals():
        check_options(cfg)
        datamodule = data_to_read(cfg)
    if run.summary.exists():
        run.check_results()
        run.check_data(datamodule.sources())
        _check_whole(run, watcher)
        log.info("%s is already finished", run.path)
        return
    with one_line_refusals():
        check_loggers(cfg)
        datamodule.prepare_data()  # once, before all processes read the files
        run.check_data(datamodule.sources())
        processes = processes_of(cfg.trainer, allowed_modules(cfg))
    found = newest(run)
    if not processes:
        _run(cfg, run, overrides, datamodule, found, watcher)
        return
    if watcher is not None:
        raise InputError(
            "a search with a pruner trains on one device, got trainer.devices="
            f"{cfg.trainer.devices}: write trainer.devices=1 or hydra.sweeper.pruner=none"
        )
    log.info("training on %d processes", processes)
    with _pointing_to_resume(run, cfg):
        launch(cfg, run.path, overrides, processes)


def run_rank(cfg: DictConfig, path: Path, overrides: Sequence[str]) -> None:
    """Train a run as one of several processes; the launcher has claimed the directory."""
    run = RunDirectory(path)
    with isolated(cfg.seed, cfg.threads), logging_to(run.log if is_rank_zero() else None):
        _run(cfg, run, overrides, None, newest(run))
        leave_together()


def _run(
    cfg: DictConfig,
    run: RunDirectory,
    overrides: Sequence[str],
    datamodule: NoisyLabelDataModule | None,
    found: tuple[Path, int] | None,
    watcher: Watcher | None = None,
) -> None:
    """Build the parts, fit, evaluate and report.

    Args:
        cfg: the configuration.
        run: the directory.
        overrides: the options of the command line.
        datamodule: from :func:`data_to_read`, after ``prepare_data``; None creates it here.
        found: the checkpoint to continue from and its step; None starts the run.
        watcher: as in :func:`train`.
    """
    started = time.monotonic()
    checkpoint, step = found or (None, None)
    if checkpoint:
        log.info("resuming from %s", checkpoint)
    with one_line_refusals():
        parts = build(cfg, run, datamodule, resumed_step=step, watcher=watcher)
    if rank() > 0:
        seed_globally(cfg.seed, rank())  # the weights are equal, the dropout masks differ
    with closed_at_the_end(parts.trainer), _pointing_to_resume(run, cfg), deferred():
        _keep_noise(parts.datamodule.noise_record, run)
        if is_rank_zero() and parts.datamodule.unreadable:
            _list_unreadable(parts.datamodule.unreadable, run)
        _fit(parts, checkpoint)
        final = parts.classifier.final_metrics()
        if is_rank_zero():
            run.checkpoints.mkdir(exist_ok=True)
        parts.trainer.save_checkpoint(run.selected_checkpoint, weights_only=True)
        if is_rank_zero():
            facts = {
                "step": parts.trainer.global_step,
                "seconds": round(time.monotonic() - started, 2),
                "config_hash": config_hash(cfg),
                "overrides": list(overrides),
            }
            _report(cfg, run, parts, final, facts)


@contextmanager
def _pointing_to_resume(run: RunDirectory, cfg: DictConfig) -> Iterator[None]:
    try:
        yield
    except SystemExit:
        if run.summary.exists():
            log.info("interrupted after the run had finished")
        else:
            command = resume_command(run.path, allowed_modules(cfg))
            log.info("interrupted; continue with: %s", command)
        raise


def _keep_noise(record: NoiseRecord, run: RunDirectory) -> None:
    """Save the noise record, or check that a resumed run has the same labels.

    Raises:
        InputError: the file is damaged, or the labels differ from the labels in the file.
    """
    log.info("%s", record.describe())
    if not is_rank_zero():
        return
    if not run.noise.exists():
        record.save(run.noise)
        run.manifest.add_files({run.noise: sha256(run.noise)})
        return
    run.manifest.check(run.noise)
    if NoiseRecord.load(run.noise).fingerprint != record.fingerprint:
        raise InputError(
            f"the labels differ from the labels in {run.noise}: choose another name=, or write "
            "rerun=true to compute the run again"
        )


def _list_unreadable(unreadable: Mapping[str, str], run: RunDirectory) -> None:
    """Write the files that were left out, and the reasons."""
    rows = ({"file": file, "reason": reason} for file, reason in unreadable.items())
    write_rows(run.unreadable, ("file", "reason"), rows)
    log.warning("%d files cannot be read and are left out: %s", len(unreadable), run.unreadable)


def _fit(parts: Parts, checkpoint: Path | None) -> None:
    trainer, classifier, data = parts.trainer, parts.classifier, parts.datamodule
    for tracker in trackers_of(trainer):
        tracker.start(data.train.truth_known, has_test=data.test is not None)
    trainer.fit(classifier, datamodule=parts.datamodule, ckpt_path=checkpoint, weights_only=True)
    classifier.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU


def _report(
    cfg: DictConfig, run: RunDirectory, parts: Parts, final: dict[str, float], facts: dict[str, Any]
) -> None:
    """Write arrays, curves, figures and finally the summary, which marks the run as complete."""
    history = parts.classifier.history
    for monitor in parts.monitors.values():
        monitor.save(run)
    history.write_csv(run.metrics)
    by = selecting_metric(parts.techniques.values(), parts.datamodule.num_classes)
    suspects = summarize_suspects(run, history, by)
    summary = summarize(
        cfg,
        datamodule=parts.datamodule,
        history=history,
        techniques=parts.techniques,
        final=final,
        run={"status": _status(parts), **facts},
        suspects=suspects,
        selected_by=by,
        steps_per_epoch=steps_per_epoch(parts.trainer) if parts.datamodule.has_epochs else None,
        theory_t1=theory_t1(parts.trainer),
    )
    # The configuration of a run from an earlier version may lack this key.
    figures = write_figures(run, history, summary) if cfg.get("figures", True) else {}
    for tracker in trackers_of(parts.trainer):
        tracker.finish(summary, figures)
        tracker.close("success")
    results = [run.metrics, run.coefficients, run.gradients, run.held_out, run.selected_checkpoint]
    results += sorted(run.dynamics.glob("*.np[yz]"))
    run.manifest.add_files({file: sha256(file) for file in results if file.is_file()})
    write_summary(run, summary)
    run.previous_checkpoint.unlink(missing_ok=True)


def _status(parts: Parts) -> str:
    if parts.watcher is not None and parts.watcher.stopped_step is not None:
        return "pruned"
    stops = [technique.stopped_step for technique in parts.techniques.values()]
    return "stopped_early" if any(step is not None for step in stops) else "finished"


def _check_whole(run: RunDirectory, watcher: Watcher | None) -> None:
    """Refuse the results of a pruned run outside its search.

    Raises:
        InputError: the run was pruned.
    """
    summary = run.read_summary()
    if watcher is None and summary["status"] == "pruned":
        raise InputError(
            f"a search ended the run in {run.path} early, at step {summary['step']}: choose "
            "another name=, or write rerun=true to train it to its end"
        )


def _interrupted_run(
    cfg: DictConfig, path: Path, overrides: Sequence[str]
) -> tuple[DictConfig, Path, Sequence[str]]:
    """The configuration, directory and overrides of the run that ``resume`` names."""
    interrupted = RunDirectory(Path(cfg.resume))
    if not interrupted.path.is_dir():
        raise InputError(f"resume={cfg.resume} is not a folder: give the directory of a run")
    if interrupted.has_folds():
        raise InputError(
            f"{cfg.resume} is the directory of an audit: write the same command of audit.py again "
            "to continue it"
        )
    others = [w for w in overrides if not w.startswith(("resume=", "allow_targets="))]
    if others:
        raise InputError(
            f"resume takes the configuration from {cfg.resume}: leave out {' '.join(others)}"
        )
    remembered, typed = interrupted.read_config(), interrupted.read_overrides()
    remembered.rerun = False  # continue, do not run again
    remembered.allow_targets = allowed_modules(cfg)  # from this command, not from the directory
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()  # this command has made it for a new run
    return remembered, interrupted.path, typed
