"""Find labels that are probably wrong: rank the training samples by a score."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelnoise.checks import check_number, check_word, whole
from labelnoise.dynamics.log import DynamicsLog
from labelnoise.dynamics.scores import SCORES
from labelnoise.errors import InputError
from labelnoise.files.tables import read_rows, write_columns
from labelnoise.learner.history import History
from labelnoise.report.loaded import LoadedDynamics, load_run, read_dynamics
from labelnoise.run_directory import RunDirectory

# Smallest number of rows for the ranking.
LEAST_ROWS = 3


def rows_before_memorization(
    history: History, step: NDArray[np.int64], by: str = "val/loss"
) -> int:
    """The number of rows for the suggested labels: the rows up to the best noisy validation.

    Later rows are from a network that predicts the wrong labels that it has memorized. At least
    three rows are used, and all rows if no validation was measured.

    Args:
        history: the metrics of the run.
        step: the steps of the rows.
        by: "val/loss", the lowest, or "val/acc", the highest.
    """
    at, value = history.series(by)
    at, value = at[np.isfinite(value)], value[np.isfinite(value)]
    if not len(at):
        return len(step)
    best = value.argmin() if by == "val/loss" else value.argmax()
    return max(LEAST_ROWS, int((step <= at[best]).sum()))


def suggested_label(log: DynamicsLog, num_classes: int, rows: int) -> NDArray[np.int64]:
    """(n,), the class predicted most often in the first ``rows`` rows; the lower class of a tie."""
    votes = np.zeros((num_classes, log.arrays["prediction"].shape[1]), dtype=np.int64)
    columns = np.arange(votes.shape[1])
    for row in islice(log, rows):
        votes[np.asarray(row.prediction), columns] += 1
    return votes.argmax(0)


def write_suspects(run: RunDirectory, score: str = "margin_loss", path: Path | None = None) -> Path:
    """Write the ranking of the training samples by suspicion.

    Columns: ``rank`` from 1; ``sample``, the file name for an image folder, else the position in
    the published data set; ``given_label``; ``suggested_label``, the class predicted in most
    epochs up to the best noisy validation (:func:`rows_before_memorization`);
    ``probably_wrong``, 1 if the suggested label differs from the given label; all scores of
    :class:`labelnoise.dynamics.scores.RunningScores`; and ``true_label``, if the true labels are
    known and some differ from the given labels. Samples with a probably wrong label come first,
    then the others, both sorted by ``score`` over all epochs.
    Validation samples are not listed; with ``data.val_fraction=0`` all samples are listed.

    Args:
        run: a finished run with ``monitor=[memorization,dynamics]``.
        score: a name of :data:`labelnoise.dynamics.scores.SCORES`.
        path: the file to write; None is suspects.csv in the run directory.

    Raises:
        InputError: an unknown score, or a run without a per-sample log.
    """
    check_word("score", score, SCORES)
    loaded = load_run(run.path)  # refuses an unfinished or damaged run
    log = DynamicsLog(run.dynamics)
    if len(log) == 0:
        raise InputError(f"{run.path} has no complete epoch of per-sample values to rank by")
    # The summary of a run from an earlier version may lack this key.
    by = loaded.summary.get("selected_by", "val/loss")
    rows = min(len(log), rows_before_memorization(loaded.history, log.step, by))
    path = run.suspects if path is None else path
    _write(read_dynamics(run), rows, score, path)
    return path


def report_suspects(run: Path, score: str = "margin_loss", top: int = 10) -> str:
    """Write suspects.csv of a finished run again, and return its first ``top`` lines.

    Raises:
        InputError: as in `write_suspects`, or ``top`` below 0.
    """
    check_number("--top", top, whole(0))
    path = write_suspects(RunDirectory(run), score)
    rows = read_rows(path)
    wrong = sum(row["probably_wrong"] == "1" for row in rows)
    lines = [f"{wrong:,} of {len(rows):,} labels are probably wrong, ranked by {score} in {path}"]
    for row in rows[: min(top, wrong)]:
        given, other = row["given_label"], row["suggested_label"]
        lines.append(f"{row['rank']:>5}  {row['sample']}  {given} -> {other}  {row[score]}")
    # Bytes of file names that are not UTF-8 are shown as \udcff.
    return "\n".join(lines).encode(errors="backslashreplace").decode()


def _write(dynamics: LoadedDynamics, rows: int, score: str, path: Path) -> NDArray[np.int64]:
    """Write the list and return the suggested labels."""
    names, label = dynamics.class_names, dynamics.label
    scores = dynamics.scores.scores()
    suggested = suggested_label(dynamics.log, len(names), rows)
    wrong = suggested != label
    # Sorted by probably wrong, then by the score, then by the position.
    order = np.lexsort((-scores[score], ~wrong))
    columns: dict[str, Any] = {
        "rank": range(1, len(order) + 1),
        "sample": dynamics.name[order],
        "given_label": names[label[order]],
        "suggested_label": names[suggested[order]],
        "probably_wrong": wrong[order].astype(int),
        **{name: [f"{value:.6g}" for value in values[order]] for name, values in scores.items()},
    }
    if dynamics.truth_known and dynamics.is_noisy.any():
        columns["true_label"] = names[dynamics.clean_label[order]]
    write_columns(path, columns)
    return suggested


def summarize_suspects(
    run: RunDirectory, history: History, by: str = "val/loss"
) -> dict[str, Any] | None:
    """Write suspects.csv if a run has a per-sample log, and summarize it.

    Returns the numbers of ``probably_wrong`` and of ``listed`` labels, by the rows up to
    ``until_step``; ``precision`` and ``recall`` of the probably wrong labels as a detector of noisy
    samples; and the ``auc`` of each score over all rows. If the true labels are unknown, the last
    three are None.
    """
    if not (run.dynamics / "samples.npz").is_file():
        return None
    whole = read_dynamics(run)
    if len(whole.log) == 0:
        return None
    rows = min(len(whole.log), rows_before_memorization(history, whole.log.step, by))
    suspected = _write(whole, rows, "margin_loss", run.suspects) != whole.label
    return {
        "probably_wrong": int(suspected.sum()),
        "listed": len(whole.label),
        "until_step": int(whole.log.step[rows - 1]),
        **_judged(suspected, whole),
    }


def _judged(suspected: NDArray[np.bool_], dynamics: LoadedDynamics) -> dict[str, Any]:
    """Precision and recall of the suspected labels, and the AUC of the scores."""
    if not dynamics.truth_known:
        return dict.fromkeys(("precision", "recall", "auc"))
    found = int((suspected & dynamics.is_noisy).sum())
    wrong, noisy = int(suspected.sum()), int(dynamics.is_noisy.sum())
    return {
        "precision": found / wrong if wrong and noisy else None,
        "recall": found / noisy if noisy else None,
        "auc": dynamics.scores.aucs(dynamics.is_noisy),
    }
