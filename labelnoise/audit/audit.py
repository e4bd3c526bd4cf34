"""audit(cfg): train the folds, judge every label, and write the audit directory."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from labelnoise.audit.config import check
from labelnoise.audit.directory import AuditDirectory
from labelnoise.audit.evidence import Source
from labelnoise.audit.predictions import Predictions
from labelnoise.audit.scores import judge
from labelnoise.audit.screen import print_audit
from labelnoise.audit.write import findings, write_probabilities, write_suspects
from labelnoise.config.composition import config_hash
from labelnoise.config.options import check_options
from labelnoise.config.refusals import in_one_line
from labelnoise.config.targets import allowed_modules, find, instantiate
from labelnoise.errors import InputError
from labelnoise.files.writing import sha256
from labelnoise.processes.interrupts import interruptible
from labelnoise.processes.logs import logging_to
from labelnoise.run_directory import claim

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
                source = _source(cfg)
                run.check_data(source.fingerprints())
                source.restore(run)
                log.info("%s is already finished", path)
            else:
                _audit(cfg, results, overrides)
            found = results.read()
            if cfg.report == "html":
                from labelnoise.audit.page import page_of_audit  # imports torch
                from labelnoise.report.html.render import write_page

                log.info("%s", write_page(page_of_audit(path), run.report))
            if cfg.trainer.get("enable_progress_bar", True):
                print_audit(found, path)
            return found


def _source(cfg: DictConfig) -> Source:
    """The data to judge, before any file is read.

    Raises:
        InputError: the data have no pool of samples that can be divided into folds.
    """
    allowed = allowed_modules(cfg)
    kind = find(cfg.data._target_, allowed, "data")
    if kind is Predictions:
        if cfg.baseline:
            raise InputError("baseline=true needs samples, which predictions do not have")
        check_options(cfg, "data")
        predictions: Predictions = instantiate(cfg.data, allowed)
        return predictions
    from labelnoise.audit.pool import PoolOfSamples  # imports torch

    check_options(cfg)
    return PoolOfSamples(cfg, kind)


def _audit(cfg: DictConfig, results: AuditDirectory, overrides: Sequence[str]) -> None:
    started = time.monotonic()
    run = results.run
    with in_one_line():
        gathered = _source(cfg).gather(run)
    evidence = gathered.evidence
    verdict = judge(evidence)
    write_suspects(results.suspects, evidence, verdict, gathered.equal, gathered.scores)
    write_probabilities(results.probabilities, evidence)
    files = (results.suspects, results.probabilities)
    run.manifest.add_files({file: sha256(file) for file in files})
    found = {
        "status": "finished",
        "seconds": round(time.monotonic() - started, 2),
        "config_hash": config_hash(cfg),
        "overrides": list(overrides),
        **findings(evidence, verdict),
        **gathered.facts,
    }
    run.write_json(results.audit, found)
