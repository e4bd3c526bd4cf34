"""The review page of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labelnoise.audit.directory import AuditDirectory
from labelnoise.audit.fold_evidence import evidence_of_folds
from labelnoise.audit.folds import fold_directory
from labelnoise.checks import COUNT, check_number
from labelnoise.errors import InputError
from labelnoise.review import page
from labelnoise.review.run import read_ranking, sheet_of
from labelnoise.review.sheet import Sheet
from labelnoise.run_directory import RunDirectory
from labelnoise.training.rebuilding import rebuild_data, stored_config


def report_review(run: Path, top: int = 200, allow_targets: Sequence[str] = ()) -> str:
    """Write review.html to the directory of a run or an audit, and return what was written.

    Raises:
        InputError: there is no finished run or audit with samples to show.
    """
    if not AuditDirectory(RunDirectory(run)).audit.exists():
        return page.report_review(run, top, allow_targets)
    return page.write_page(sheet_of_audit(run, top, allow_targets), run)


def sheet_of_audit(path: Path, top: int = 200, allow_targets: Sequence[str] = ()) -> Sheet:
    """The ``top`` most suspicious samples of the finished audit in ``path``.

    A loss curve is the mean over the networks that trained on the sample.

    Raises:
        InputError: there is no finished audit of samples, or its data have changed.
    """
    check_number("--top", top, COUNT)
    results = AuditDirectory(RunDirectory(path))
    folds = results.read()["folds"]
    if folds is None:
        raise InputError(f"{path} is an audit of predictions, which has no samples to show")
    results.run.manifest.check(results.suspects)
    ranking = read_ranking(results.suspects)
    fold = RunDirectory(fold_directory(path, 0))
    data = rebuild_data(fold, stored_config(fold, allow_targets))
    evidence = evidence_of_folds(path, folds)
    assert evidence.loss is not None
    return sheet_of(path, data, ranking, top, evidence.name, evidence.loss)
