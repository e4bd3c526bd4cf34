"""Which labels are probably wrong: the training samples ranked by a score of their dynamics."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelnoise.dynamics import DynamicsLog
from labelnoise.dynamics.scores import SCORES
from labelnoise.errors import InputError
from labelnoise.report.loaded import LoadedDynamics, read_dynamics
from labelnoise.run_directory import RunDirectory


def suggested_label(log: DynamicsLog, num_classes: int) -> NDArray[np.int64]:
    """The class predicted in most of the epochs, (n,); of two equal counts the lower number."""
    votes = np.zeros((num_classes, log.arrays["prediction"].shape[1]), dtype=np.int64)
    columns = np.arange(votes.shape[1])
    for row in log:
        votes[np.asarray(row.prediction), columns] += 1
    return votes.argmax(0)


def write_suspects(run: RunDirectory, score: str = "aum", path: Path | None = None) -> Path:
    """Write the training samples in the order in which their labels should be looked at.

    Columns: ``rank`` from 1; ``sample``, the file in an image folder and the place in the published
    data set elsewhere; ``given_label``; ``suggested_label``, the class predicted in most epochs;
    ``probably_wrong``, 1 where that is another one; all scores of
    :class:`labelnoise.dynamics.RunningScores`, higher for more suspicious; and where true labels
    are known to differ from given ones, ``true_label``. Ranked are first the samples whose label is
    probably wrong, then the others, each by ``score``. Samples held out for validation were not
    trained on and are not listed (``data.val_fraction=0`` lists all).

    Args:
        run: a finished run with ``monitor=[memorization,dynamics]``.
        score: one of :data:`labelnoise.dynamics.scores.SCORES`.
        path: where to; None is suspects.csv in the run's directory.

    Raises:
        InputError: an unknown score, or a run without a per-sample log.
    """
    if score not in SCORES:
        raise InputError(f"score must be one of {', '.join(SCORES)}, got {score!r}")
    return _write(read_dynamics(run), score, run.suspects if path is None else path)


def _write(dynamics: LoadedDynamics, score: str, path: Path) -> Path:
    names = dynamics.class_names
    scores = dynamics.scores.scores()
    suggested = suggested_label(dynamics.log, len(names))
    wrong = suggested != dynamics.label
    # Stable and lexical: probably wrong first, then the score, then the place.
    order = np.lexsort((-scores[score], ~wrong))
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(_row(dynamics, scores, suggested, 0, 0)))
        writer.writeheader()
        for rank, i in enumerate(order, start=1):
            writer.writerow(_row(dynamics, scores, suggested, rank, int(i)))
    os.replace(part, path)
    return path


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
    if dynamics.is_noisy.any():
        row["true_label"] = names[dynamics.clean_label[i]]
    return row


def summarize_suspects(run: RunDirectory) -> dict[str, Any] | None:
    """Write suspects.csv where a run kept a per-sample log, and tell what it lists.

    Returns how many labels are ``probably_wrong`` of how many ``listed``, and the ``auc`` of each
    score at the end as a detector of noisy labels, empty where the truth is not known.
    """
    if not (run.dynamics / "samples.npz").is_file():
        return None
    dynamics = read_dynamics(run)
    if len(dynamics.log) == 0:
        return None
    _write(dynamics, "aum", run.suspects)
    suggested = suggested_label(dynamics.log, len(dynamics.class_names))
    return {
        "probably_wrong": int((suggested != dynamics.label).sum()),
        "listed": len(dynamics.label),
        "auc": dynamics.scores.aucs(dynamics.is_noisy),
    }
