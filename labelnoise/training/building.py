"""Build the parts of a run from its configuration."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import nn

from labelnoise.config.options import check_options
from labelnoise.config.own_parts import config_file
from labelnoise.config.refusals import in_one_line
from labelnoise.config.schedules import check_schedule, run_steps
from labelnoise.config.targets import allowed_modules, find, instantiate
from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.errors import InputError, reason_of
from labelnoise.learner.batch_norm import check_single_samples, smallest_batch
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.monitors import Monitor, missing_monitor
from labelnoise.noise.truth import check_truth
from labelnoise.run_directory import RunDirectory
from labelnoise.seeding import derive_seed
from labelnoise.techniques import Loss, Technique, check_composition, learner_of
from labelnoise.training.launcher import plugins
from labelnoise.training.own import check_kind, check_logits
from labelnoise.training.trainer import build_trainer

log = logging.getLogger(__name__)


@dataclass
class Parts:
    """The parts of one run, ready to fit."""

    datamodule: NoisyLabelDataModule
    classifier: NoisyLabelClassifier
    monitors: dict[str, Monitor]
    techniques: dict[str, Technique]
    trainer: pl.Trainer
    watcher: Watcher | None = None


class Watcher(pl.Callback):
    """A callback from outside the run that may end it early."""

    stopped_step: int | None = None


def one_line_refusals() -> AbstractContextManager[None]:
    """:func:`labelnoise.config.refusals.in_one_line`, also for exceptions of Lightning."""
    return in_one_line(MisconfigurationException)


def data_to_read(cfg: DictConfig) -> NoisyLabelDataModule:
    """The data module with its label noise; it has not read any file yet.

    Raises:
        InputError: ``data._target_`` is not a NoisyLabelDataModule.
    """
    allowed = allowed_modules(cfg)
    target = find(cfg.data.get("_target_"), allowed, "data")
    if isinstance(target, type):  # before the call: another class would reject ``noise``
        _check_data(target)
    datamodule = instantiate(cfg.data, allowed)(noise=instantiate(cfg.noise, allowed))
    _check_data(type(datamodule))
    return cast(NoisyLabelDataModule, datamodule)


def _check_data(kind: type) -> None:
    """Refuse data modules that are not a NoisyLabelDataModule."""
    if getattr(kind, "only_for_audits", False):
        raise InputError(
            "these data have no samples to train on: write python audit.py instead of run.py"
        )
    if not issubclass(kind, NoisyLabelDataModule):
        raise InputError(
            f"data is a {kind.__name__}, which does not support label noise: write a subclass of "
            "labelnoise.data.ImageDataModule with a method read(), see CONTRIBUTING.md"
        )


def build_learner(
    cfg: DictConfig,
    datamodule: NoisyLabelDataModule | None = None,
    learner: type[NoisyLabelClassifier] = NoisyLabelClassifier,
) -> tuple[NoisyLabelDataModule, NoisyLabelClassifier]:
    """The data with label noise, and the untrained classifier, whose size depends on the data.

    Args:
        cfg: the configuration.
        datamodule: from :func:`data_to_read`, after ``prepare_data``; None creates it here.
        learner: the class of the classifier.
    """
    if datamodule is None:
        datamodule = data_to_read(cfg)
        datamodule.prepare_data()
    datamodule.setup("fit")
    # The learner classes take one or two networks.
    make: Callable[..., NoisyLabelClassifier] = learner
    classifier = make(
        *_networks(cfg, datamodule, learner.network_count),
        instantiate(cfg.optimizer, allowed_modules(cfg)),
        **_schedule(cfg, datamodule),
        # The configuration of a run from an earlier version may lack these keys.
        channels_last=cfg.get("channels_last", False),
        compile=cfg.get("compile", False),
    )
    classifier.configure_optimizers()  # here torch rejects wrong options
    return datamodule, classifier


def build(
    cfg: DictConfig,
    run: RunDirectory,
    datamodule: NoisyLabelDataModule | None = None,
    resumed_step: int | None = None,
    watcher: Watcher | None = None,
) -> Parts:
    """Instantiate the parts and read the data, because the size of the model depends on the data.

    Args:
        cfg: the configuration.
        run: the run directory, which gets all output.
        datamodule: as in :func:`build_learner`.
        resumed_step: the step of the checkpoint that the run continues from; None for a new run.
        watcher: called after monitors and techniques.
    """
    check_options(cfg)
    allowed = allowed_modules(cfg)
    techniques = build_techniques(cfg)
    monitors = build_monitors(cfg, techniques)
    # So that torch and Lightning reject wrong options before the data are read.
    instantiate(cfg.optimizer, allowed)([nn.Parameter(torch.zeros(1))])
    instantiate(cfg.trainer, allowed)(logger=False, enable_checkpointing=False, plugins=plugins())
    datamodule, classifier = build_learner(cfg, datamodule, learner_of(techniques))
    _check_batches(cfg, datamodule, classifier)
    check_truth(
        datamodule.noise_record.truth,
        {f"technique={name}": t.oracle_knowledge() for name, t in techniques.items()}
        | {f"monitor={name}": ["true labels"] for name, m in monitors.items() if m.needs_truth},
    )
    trainer = build_trainer(cfg, run, monitors, techniques, resumed_step)
    if watcher is not None:
        trainer.callbacks.append(watcher)  # type: ignore[attr-defined]
    return Parts(datamodule, classifier, monitors, techniques, trainer, watcher)


def _check_batches(
    cfg: DictConfig, datamodule: NoisyLabelDataModule, classifier: NoisyLabelClassifier
) -> None:
    """Refuse a batch of one sample if the network cannot train on it."""
    loader = datamodule.train_dataloader()
    accumulated = cfg.trainer.get("accumulate_grad_batches", 1)
    steps = run_steps(math.ceil(len(loader) / accumulated), cfg.max_steps, cfg.max_epochs)
    if smallest_batch(loader, steps * accumulated) > 1:
        return
    check_single_samples(
        classifier.networks,
        datamodule.train,
        f"with batch_size={cfg.batch_size} a process gets a batch of only one sample (there are "
        f"{len(datamodule.train)} training samples): write another batch_size",
    )


def build_techniques(cfg: DictConfig) -> dict[str, Technique]:
    """The techniques by name; a plain loss function is wrapped in :class:`Loss`."""
    allowed = allowed_modules(cfg)
    parts = {str(name): instantiate(node, allowed) for name, node in cfg.technique.items()}
    wanted = "a subclass of labelnoise.techniques.Technique, or a function of logits and labels"
    for name, part in parts.items():
        check_kind(f"technique.{name}", part, (Technique, Callable), wanted)  # type: ignore[arg-type]
    techniques = {n: p if isinstance(p, Technique) else Loss(p) for n, p in parts.items()}
    check_composition(techniques)
    return techniques


def build_monitors(cfg: DictConfig, techniques: dict[str, Technique]) -> dict[str, Monitor]:
    """The chosen monitors by name, and the monitors that record metrics for techniques.

    With ``monitor=none`` no monitor is added.
    """
    allowed = allowed_modules(cfg)
    monitors = {str(name): instantiate(node, allowed) for name, node in cfg.monitor.items()}
    wanted = "a subclass of labelnoise.monitors.Monitor"
    for key, monitor in monitors.items():
        check_kind(f"monitor.{key}", monitor, Monitor, wanted)
    if not monitors:
        return monitors
    for chosen, technique in techniques.items():
        for metric in technique.reads():
            name = missing_monitor([metric], monitors.values())
            if name is None or not (file := config_file("monitor", name)):
                continue
            whole = cfg.copy()  # interpolations in the file refer to the whole configuration
            OmegaConf.set_struct(whole, False)
            whole.monitor = OmegaConf.load(file)
            monitors[name] = instantiate(whole.monitor[name], allowed)
            log.info("monitor=%s is switched on: technique=%s reads %s", name, chosen, metric)
    return monitors


def _networks(cfg: DictConfig, datamodule: NoisyLabelDataModule, count: int) -> list[nn.Module]:
    """``count`` networks; the first has the same initial weights as in a run with one network."""
    dtype = datamodule.train.batch(slice(1)).input.dtype
    shape = {"input_shape": datamodule.input_shape, "num_classes": datamodule.num_classes}
    if count > 1 and "seed" not in cfg.model:
        raise InputError(
            f"two networks need different initial weights: give {cfg.model._target_} an argument "
            "seed, and write seed: ${seed} in its YAML file"
        )
    seeds = [{"seed": derive_seed(cfg.model.seed, "network", i)} for i in range(1, count)]
    make = instantiate(cfg.model, allowed_modules(cfg))
    try:
        networks = [make(**shape, **seed) for seed in ({}, *seeds)]
    except TypeError as error:
        raise InputError(
            f"model._target_={cfg.model._target_} cannot be built ({reason_of(error)}): write a "
            "class that takes input_shape and num_classes"
        ) from error
    for network in networks:
        check_kind("model", network, nn.Module, "a subclass of torch.nn.Module")
        network.to(dtype)
    if not str(cfg.model._target_).startswith("labelnoise."):
        check_logits(networks[0], datamodule.train.batch(slice(2)).input, datamodule.num_classes)
    return networks


def _schedule(cfg: DictConfig, datamodule: NoisyLabelDataModule) -> dict[str, Any]:
    """The classifier's ``scheduler`` and ``interval``; empty for a constant learning rate."""
    plain = OmegaConf.to_container(cfg.scheduler, resolve=True)
    assert isinstance(plain, dict)
    options = {str(key): value for key, value in plain.items()}
    if not options:
        return {}
    batches = len(datamodule.train_dataloader())
    steps_per_epoch = math.ceil(batches / cfg.trainer.get("accumulate_grad_batches", 1))
    check_schedule(options, steps_per_epoch, cfg.max_steps, cfg.max_epochs)
    interval = options.pop("interval", "epoch")
    return {"scheduler": instantiate(options, allowed_modules(cfg)), "interval": interval}
