"""An audit of a pool of samples: networks are trained on folds."""

from __future__ import annotations

import logging
from typing import Any, cast

from omegaconf import DictConfig

from labelnoise.audit.baseline import baseline_of, check_baseline, compare
from labelnoise.audit.config import fold_config
from labelnoise.audit.duplicates import find_duplicates
from labelnoise.audit.evidence import Gathered
from labelnoise.audit.fold_evidence import evidence_of_folds
from labelnoise.audit.folds import fold_directory, train_folds
from labelnoise.data.pool import PoolDataModule
from labelnoise.errors import InputError
from labelnoise.files.label_words import some
from labelnoise.run_directory import RunDirectory
from labelnoise.training.building import data_to_read

log = logging.getLogger(__name__)


class PoolOfSamples:
    """Samples with given labels, which are divided into folds.

    Args:
        cfg: the configuration of the audit.
        kind: the class of the data.

    Raises:
        InputError: the data have no pool of samples that can be divided into folds.
    """

    def __init__(self, cfg: DictConfig, kind: Any) -> None:
        if not (isinstance(kind, type) and issubclass(kind, PoolDataModule)):
            raise InputError(
                f"data is a {kind.__name__}, which has no pool of samples that can be divided into "
                "folds: audit images or features"
            )
        self.cfg = cfg
        self.data = cast(PoolDataModule, data_to_read(fold_config(cfg, 0)))

    def fingerprints(self) -> dict[str, str | None]:
        """The fingerprints of the files."""
        return self.data.sources()

    def restore(self, run: RunDirectory) -> None:
        """Train removed folds again, and refuse damaged folds."""
        folds = [RunDirectory(fold_directory(run.path, fold)) for fold in range(self.cfg.folds)]
        if not all(fold.is_whole() for fold in folds):
            train_folds(self.cfg, run.path)

    def gather(self, run: RunDirectory) -> Gathered:
        """Train the folds, and join what they say about every sample."""
        data, folds = self.data, self.cfg.folds
        data.prepare_data()
        run.check_data(data.sources())
        data.setup()
        _warn_of_rare_classes(data, folds)
        if self.cfg.baseline:
            check_baseline(data)
        train_folds(self.cfg, run.path)
        evidence = evidence_of_folds(run.path, folds)
        duplicates = find_duplicates(data, evidence.source_index)
        baseline = baseline_of(data, evidence) if self.cfg.baseline else None
        facts = {
            "folds": folds,
            "baseline": None if baseline is None else compare(baseline, evidence),
            "duplicates": duplicates.counts(evidence.label),
            "not_audited": {
                "test": 0 if data.test is None else len(data.test),
                "outside_classes": data.noise_record.dropped_outside_classes,
            },
            "data_left_out": dict(data.left_out),
        }
        scores = {} if baseline is None else {"baseline": baseline.suspicion}
        return Gathered(evidence, duplicates.exact, facts, scores)


def _warn_of_rare_classes(data: PoolDataModule, folds: int) -> None:
    """Say which classes have fewer samples than folds."""
    count = data.noise_record.label.bincount(minlength=data.num_classes).tolist()
    counted = zip(data.class_names, count, strict=True)
    rare = [f"'{name}' ({n})" for name, n in counted if 0 < n < folds]
    if rare:
        log.warning(
            "there are %d folds, but fewer samples of %s: they are in different folds; a sample "
            "that is alone in its class is judged by a network that has not seen the class",
            folds, some(rare, most=5),
        )  # fmt: skip
