"""Which labels are probably wrong: the training samples ranked by a score of their dynamics."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelnoise.checks import check_number, check_word, whole
from labelnoise.csv_files import read_rows, write_rows
from labelnoise.dynamics import DynamicsLog
from labelnoise.dynamics.scores import SCORES
from labelnoise.errors import InputError
from labelnoise.learner.history import History
from labelnoise.report.loaded import LoadedDynamics, load_run, read_dynamics
from labelnoise.run_directory import RunDirectory

# Fewer rows than these tell little of a sample.
LEAST_ROWS = 3


def rows_before_memorization(history: History, step: NDArray[np.int64]) -> int:
    """How many of the rows at ``step`` to rank by: those up to the lowest noisy validation loss.

    After it the network memorizes wrong labels, and each further epoch speaks for them. All rows
    where no validation loss was measured, and at least three.
    """
    at, loss = history.series("val/loss")
    at, loss = at[np.isfinite(loss)], loss[np.isfinite(loss)]
    if not len(at):
        return len(step)
    return max(LEAST_ROWS, int((step <= at[loss.argmin()]).sum()))


def suggested_label(log: DynamicsLog, num_classes: int, rows: int) -> NDArray[np.int64]:
    """The class predicted in most of the first ``rows`` rows, (n,); of equal counts the lower."""
    votes = np.zeros((num_classes, log.arrays["prediction"].shape[1]), dtype=np.int64)
    columns = np.arange(votes.shape[1])
    for row in islice(log, rows):
        votes[np.asarray(row.prediction), columns] += 1
    return votes.argmax(0)


def write_suspects(run: RunDirectory, score: str = "aum", path: Path | None = None) -> Path:
    """Write the training samples in the order in which their labels should be looked at.

    Columns: ``rank`` from 1; ``sample``, the file in an image folder and the place in the published
    data set elsewhere; ``given_label``; ``suggested_label``, the class predicted in most epochs;
    ``probably_wrong``, 1 where that is another one; all scores of
    :class:`labelnoise.dynamics.RunningScores`, higher for more suspicious; and where true labels
    are known to differ from given ones, ``true_label``. Ranked are first the samples whose label is
    probably wrong, then the others, each by ``score``. Only the epochs up to the lowest noisy
    validation loss are looked at: later ones memorize. Samples held out for validation were not
    trained on and are not listed (``data.val_fraction=0`` lists all, and looks at all epochs).

    Args:
        run: a finished run with ``monitor=[memorization,dynamics]``.
        score: one of :data:`labelnoise.dynamics.scores.SCORES`.
        path: where to; None is suspects.csv in the run's directory.

    Raises:
        InputError: an unknown score, or a run without a per-sample log.
    """
    check_word("score", score, SCORES)
    history = load_run(run.path).history  # refuses a run that did not finish, or is damaged
    log = DynamicsLog(run.dynamics)
    if len(log) == 0:
        raise InputError(f"{run.path} holds no complete epoch of per-sample values to rank by")
    rows = min(len(log), rows_before_memorization(history, log.step))
    _write(read_dynamics(run, rows), rows, score, path := run.suspects if path is None else path)
    return path


def report_suspects(run: Path, score: str = "aum", top: int = 10) -> str:
    """Write suspects.csv of a finished run anew and tell its first ``top`` lines.

    Raises:
        InputError: as `write_suspects`, and for ``top`` below 0.
    """
    check_number("--top", top, whole(0))
    path = write_suspects(RunDirectory(run), score)
    rows = read_rows(path)
    wrong = sum(row["probably_wrong"] == "1" for row in rows)
    lines = [f"{wrong:,} of {len(rows):,} labels are probably wrong, ranked by {score} in {path}"]
    for row in rows[: min(top, wrong)]:
        given, other = row["given_label"], row["suggested_label"]
        lines.append(f"{row['rank']:>5}  {row['sample']}  {given} -> {other}  {row[score]}")
    # Names of files that are no UTF-8 as \udcff, which any screen can show.
    return "\n".join(lines).encode(errors="backslashreplace").decode()


def _write(dynamics: LoadedDynamics, rows: int, score: str, path: Path) -> NDArray[np.int64]:
    """Write the list and return the suggested labels."""
    names = dynamics.class_names
    scores = dynamics.scores.scores()
    suggested = suggested_label(dynamics.log, len(names), rows)
    wrong = suggested != dynamics.label
    # Stable and lexical: probably wrong first, then the score, then the place.
    order = np.lexsort((-scores[score], ~wrong))
    header = list(_row(dynamics, scores, suggested, 0, 0))
    ranked = enumerate(order, start=1)
    rows_of = (_row(dynamics, scores, suggested, rank, int(i)) for rank, i in ranked)
    write_rows(path, header, rows_of)
    return suggested


def _row(
    dynamics: LoadedDynamics,
    scores: Mapping[str, NDArray[np.float64]],
    suggested: NDArray[np.int64],
    rank: int,
    i: int,
) -> dict[str, object]:
    names = dynamics.class_names
    row: dict[str, object] = {
        "rank": rank,
        "sample": dynamics.name[i],
        "given_label": names[dynamics.label[i]],
        "suggested_label": names[suggested[i]],
        "probably_wrong": int(suggested[i] != dynamics.label[i]),
        **{name: f"{values[i]:.6g}" for name, values in scores.items()},
    }
    if dynamics.truth_known and dynamics.is_noisy.any():
        row["true_label"] = names[dynamics.clean_label[i]]
    return row


def summarize_suspects(run: RunDirectory, history: History) -> dict[str, Any] | None:
    """Write suspects.csv where a run kept a per-sample log, and tell what it lists.

    Returns how many labels are ``probably_wrong`` of how many ``listed``, judged by the rows up to
    ``until_step``; and where the truth is known ``precision`` and ``recall`` of that judgement and
    the ``auc`` of each score over all rows, the whole training, as a detector of noisy labels.
    Where it is not, these three are None.
    """
    if not (run.dynamics / "samples.npz").is_file():
        return None
    whole = read_dynamics(run)
    if len(whole.log) == 0:
        return None
    rows = min(len(whole.log), rows_before_memorization(history, whole.log.step))
    suspected = _write(read_dynamics(run, rows), rows, "aum", run.suspects) != whole.label
    return {
        "probably_wrong": int(suspected.sum()),
        "listed": len(whole.label),
        "until_step": int(whole.log.step[rows - 1]),
        **_judged(suspected, whole),
    }


def _judged(suspected: NDArray[np.bool_], dynamics: LoadedDynamics) -> dict[str, Any]:
    """How well labels were suspected, by the true ones."""
    if not dynamics.truth_known:
        return dict.fromkeys(("precision", "recall", "auc"))
    found = int((suspected & dynamics.is_noisy).sum())
    wrong, noisy = int(suspected.sum()), int(dynamics.is_noisy.sum())
    return {
        "precision": found / wrong if wrong and noisy else None,
        "recall": found / noisy if noisy else None,
        "auc": dynamics.scores.aucs(dynamics.is_noisy),
    }
