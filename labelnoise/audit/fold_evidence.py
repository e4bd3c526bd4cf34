"""The evidence of folds: predictions out of fold, and dynamics averaged over the folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from labelnoise.audit.evidence import Evidence
from labelnoise.audit.folds import fold_directory
from labelnoise.errors import InputError
from labelnoise.report.loaded import LoadedDynamics, load_run, read_dynamics, reading


def evidence_of_folds(audit: Path, folds: int) -> Evidence:
    """Join the files of the fold runs.

    The samples are in the order of their source indices. A score of the dynamics is the mean of the
    scores of the k - 1 networks that trained on the sample, each over all its epochs. The
    prediction is that of the network that has not trained on the sample.

    Raises:
        InputError: a fold is missing or damaged, or the folds have different samples.
    """
    runs = [load_run(fold_directory(audit, fold)) for fold in range(folds)]
    held = [_held_out(run.directory.held_out, run.directory.manifest) for run in runs]
    source = np.concatenate([part["source_index"] for part in held])
    order = np.argsort(source, kind="stable")
    source = source[order]
    different = InputError(f"the folds in {audit} have different samples: delete the folder")
    if len(np.unique(source)) != len(source):
        raise different

    def joined(key: str) -> NDArray[Any]:
        return np.concatenate([part[key] for part in held])[order]

    averaged = _average([read_dynamics(run.directory) for run in runs], source)
    if averaged is None:
        raise different
    scores, loss = averaged
    fold = np.repeat(np.arange(folds), [len(part["label"]) for part in held])[order]
    return Evidence(
        name=joined("name"),
        source_index=source,
        label=joined("label"),
        class_names=held[0]["class_names"],
        fold=fold,
        probability=joined("probability"),
        suspicion=scores["margin_loss"],
        dynamics=scores,
        loss=loss,
        clean_label=joined("clean_label") if "clean_label" in held[0] else None,
    )


def _average(
    logs: Sequence[LoadedDynamics], source: Int[np.ndarray, " n"]
) -> tuple[dict[str, Float[np.ndarray, " n"]], Float[np.ndarray, "T n"]] | None:
    """The scores, and the losses in each epoch, averaged over the logs that have a sample.

    None if a log has other samples than ``source``, or a sample is not in all logs but one.
    """
    n = len(source)
    times = np.zeros(n)
    sums: dict[str, NDArray[np.float64]] = {}
    loss: list[NDArray[np.float64]] = []
    for dynamics in logs:
        place = np.searchsorted(source, dynamics.source_index)
        if not np.array_equal(source[np.minimum(place, n - 1)], dynamics.source_index):
            return None
        times[place] += 1
        for name, score in dynamics.scores.scores().items():
            sums.setdefault(name, np.zeros(n))[place] += score
        for row, measured in enumerate(dynamics.log):
            if row == len(loss):
                loss.append(np.zeros(n))
            loss[row][place] += np.asarray(measured.loss, dtype=np.float64)
    if times.min() != len(logs) - 1:
        return None
    return {name: total / times for name, total in sums.items()}, np.stack(loss) / times


def _held_out(path: Path, manifest: Any) -> dict[str, NDArray[Any]]:
    manifest.check(path)
    with reading(path), np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
