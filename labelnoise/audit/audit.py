"""audit(cfg): train the folds, judge every label, and write the audit directory."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig

from labelnoise.audit.config import check, fold_config
from labelnoise.audit.directory import AuditDirectory
from labelnoise.audit.duplicates import Duplicates, find_duplicates
from labelnoise.audit.evidence import Evidence, evidence_of_folds
from labelnoise.audit.folds import train_folds
from labelnoise.audit.predictions import Predictions
from labelnoise.audit.scores import judge
from labelnoise.audit.screen import print_audit
from labelnoise.audit.write import findings, write_probabilities, write_suspects
from labelnoise.config.composition import config_hash
from labelnoise.config.options import check_options
from labelnoise.config.targets import allowed_modules, find, instantiate
from labelnoise.data.pool import PoolDataModule
from labelnoise.errors import InputError
from labelnoise.files.writing import sha256
from labelnoise.processes.interrupts import interruptible
from labelnoise.run_directory import RunDirectory, claim
from labelnoise.training.building import data_to_read, one_line_refusals
from labelnoise.training.isolation import logging_to

log = logging.getLogger(__name__)


def audit(
    cfg: DictConfig, directory: str | Path | None = None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Judge every label of the data, and return the contents of audit.json.

    Each of the ``folds`` runs trains on all samples except those of its fold, so every label is
    judged by a network that has not seen it. If the directory has an interrupted audit of the same
    configuration, the call continues it, with the same results bit for bit. If the audit is
    finished, the call returns its results.

    Args:
        cfg: the composed configuration, for example ``compose(["data=digits"])`` of
            :mod:`labelnoise.audit.config`.
        directory: the audit directory; None is ``cfg.output_dir/cfg.name``.
        overrides: the options of the command line.

    Raises:
        InputError: the configuration or the data cannot be used.
    """
    with interruptible():
        check(cfg)
        path = Path(cfg.output_dir, cfg.name) if directory is None else Path(directory)
        with claim(path, cfg, overrides) as run, logging_to(run.log):
            results = AuditDirectory(run)
            if results.audit.exists():
                run.check_results()
                run.check_data(_data(cfg).sources())
                log.info("%s is already finished", path)
            else:
                _audit(cfg, results, overrides)
            found = results.read()
            if cfg.trainer.get("enable_progress_bar", True):
                print_audit(found, path)
            return found


def _data(cfg: DictConfig) -> PoolDataModule | Predictions:
    """The data to judge, before any file is read.

    Raises:
        InputError: the data have no pool of samples that can be divided into folds.
    """
    check_options(cfg)
    allowed = allowed_modules(cfg)
    kind = find(cfg.data._target_, allowed, "data")
    if kind is Predictions:
        data: Predictions = instantiate(cfg.data, allowed)
        return data
    if not (isinstance(kind, type) and issubclass(kind, PoolDataModule)):
        raise InputError(
            f"data is a {kind.__name__}, which has no pool of samples that can be divided into "
            "folds: audit images or features"
        )
    return cast(PoolDataModule, data_to_read(fold_config(cfg, 0)))


def _audit(cfg: DictConfig, results: AuditDirectory, overrides: Sequence[str]) -> None:
    started = time.monotonic()
    run = results.run
    with one_line_refusals():
        data = _data(cfg)
        evidence, duplicates, facts = (
            _of_predictions(data, run)
            if isinstance(data, Predictions)
            else _of_samples(cfg, data, run)
        )
    verdict = judge(evidence)
    write_suspects(results.suspects, evidence, verdict, duplicates)
    write_probabilities(results.probabilities, evidence)
    files = (results.suspects, results.probabilities)
    run.manifest.add_files({file: sha256(file) for file in files})
    found = {
        "status": "finished",
        "seconds": round(time.monotonic() - started, 2),
        "config_hash": config_hash(cfg),
        "overrides": list(overrides),
        **findings(evidence, verdict),
        **facts,
    }
    run.write_json(results.audit, found)


def _of_predictions(
    data: Predictions, run: RunDirectory
) -> tuple[Evidence, Duplicates | None, dict[str, Any]]:
    run.check_data(data.sources())
    return data.evidence(), None, {"folds": None, "duplicates": None, "not_audited": {}}


def _of_samples(
    cfg: DictConfig, data: PoolDataModule, run: RunDirectory
) -> tuple[Evidence, Duplicates | None, dict[str, Any]]:
    data.prepare_data()
    run.check_data(data.sources())
    data.setup()
    _warn_of_rare_classes(data, cfg.folds)
    train_folds(cfg, run.path)
    evidence = evidence_of_folds(run.path, cfg.folds)
    duplicates = find_duplicates(data, evidence.source_index)
    facts = {
        "folds": cfg.folds,
        "duplicates": duplicates.counts(evidence.label),
        "not_audited": {
            "test": 0 if data.test is None else len(data.test),
            "outside_classes": data.noise_record.dropped_outside_classes,
        },
        "data_left_out": dict(data.left_out),
    }
    return evidence, duplicates, facts


def _warn_of_rare_classes(data: PoolDataModule, folds: int) -> None:
    """Say which classes have fewer samples than folds."""
    count = data.noise_record.label.bincount(minlength=data.num_classes).tolist()
    counted = zip(data.class_names, count, strict=True)
    rare = [f"'{name}' {n}" for name, n in counted if 0 < n < folds]
    if rare:
        log.warning(
            "%d classes have fewer samples than the %d folds (%s): their samples are in different "
            "folds, and a sample that is alone in its class is judged by a network that has not "
            "seen the class",
            len(rare), folds, ", ".join(rare[:5]),
        )  # fmt: skip
