"""The files of an audit: suspects.csv, probabilities.npy and audit.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from labelnoise.audit.evidence import Evidence
from labelnoise.audit.scores import Verdict
from labelnoise.dynamics.ranking import auc
from labelnoise.files.tables import write_columns
from labelnoise.files.writing import replacing

# Number of pairs of classes in audit.json, and of suspects for which the precision is measured.
MOST_PAIRS, AMONG_FIRST = 10, (100, 500, 1000)
# Scores of the dynamics that do not rank wrong labels, or that have a column already.
NOT_RANKING = ("variability", "margin_loss")


def write_suspects(
    path: Path,
    evidence: Evidence,
    verdict: Verdict,
    equal: Int[np.ndarray, " n"] | None,
    more: Mapping[str, Float[np.ndarray, " n"]],
) -> None:
    """Write a row for every sample, the most suspicious first.

    Columns: ``rank`` from 1; ``sample``, a file name or position; ``given_label``;
    ``suggested_label``; ``probability_wrong``; ``margin_loss``, which determines the rank;
    ``out_of_fold``, 1 - p(given label) of the network that has not trained on the sample; the
    scores of the dynamics, and ``more`` scores, higher is more suspicious; ``fold``; ``duplicate``,
    the number of the group of equal samples (``equal``), or empty; and ``true_label`` if it is
    known and differs for some sample.
    """
    order, names = verdict.order, evidence.class_names
    out_of_fold = 1 - np.take_along_axis(evidence.probability, evidence.label[:, None], 1)[:, 0]
    scores = {
        "probability_wrong": verdict.wrong,
        "margin_loss": evidence.suspicion,
        "out_of_fold": out_of_fold,
        **{k: v for k, v in evidence.dynamics.items() if k not in NOT_RANKING},
        **more,
    }
    columns: dict[str, Any] = {
        "rank": range(1, len(order) + 1),
        "sample": evidence.name[order],
        "given_label": names[evidence.label[order]],
        "suggested_label": names[verdict.suggested[order]],
        **{name: score[order].astype(np.float64) for name, score in scores.items()},
    }
    if evidence.fold.max() >= 0:
        columns["fold"] = evidence.fold[order]
    if equal is not None:
        columns["duplicate"] = ["" if k < 0 else k for k in equal[order].tolist()]
    if (noisy := is_noisy(evidence)) is not None and noisy.any():
        assert evidence.clean_label is not None
        columns["true_label"] = names[evidence.clean_label[order]]
    write_columns(path, columns)


def write_probabilities(path: Path, evidence: Evidence) -> None:
    """Write the predictions out of fold as (n, K) float32, in the order of the source indices."""
    with replacing(path) as file:
        np.save(file, evidence.probability.astype(np.float32), allow_pickle=False)


def is_noisy(evidence: Evidence) -> Bool[np.ndarray, " n"] | None:
    """Whether the given label differs from the true label; None if the true labels are unknown."""
    return None if evidence.clean_label is None else evidence.label != evidence.clean_label


def findings(evidence: Evidence, verdict: Verdict) -> dict[str, Any]:
    """The numbers of audit.json that come from the labels and the predictions."""
    label, wrong = evidence.label, verdict.wrong
    names = [str(name) for name in evidence.class_names]
    classes = len(names)
    count = np.bincount(label, minlength=classes)
    of_class = np.bincount(label, weights=wrong, minlength=classes)
    accuracy = float((evidence.probability.argmax(1) == label).mean())
    return {
        "samples": len(label),
        "noise_rate": verdict.noise_rate,
        "probably_wrong": int((wrong > 0.5).sum()),
        "by_class": {
            name: {"samples": int(n), "wrong": float(w / n) if n else None}
            for name, n, w in zip(names, count, of_class, strict=True)
        },
        "transition_matrix": verdict.transition_matrix.tolist(),
        "confused": _confused(evidence, verdict, names),
        "temperature": verdict.temperature,
        "out_of_fold_accuracy": accuracy,
        "truth": _against_truth(evidence, verdict),
    }


def _confused(
    evidence: Evidence, verdict: Verdict, names: list[str]
) -> list[Mapping[str, str | float]]:
    """The pairs of given and suggested class with the largest expected numbers of wrong labels."""
    classes = len(names)
    cell = evidence.label * classes + verdict.suggested
    expected = np.bincount(cell, weights=verdict.wrong, minlength=classes**2)
    largest = np.argsort(-expected, kind="stable")[:MOST_PAIRS]
    return [
        {
            "given": names[c // classes],
            "suggested": names[c % classes],
            "labels": float(expected[c]),
        }
        for c in largest.tolist()
        if expected[c] > 0
    ]


def _against_truth(evidence: Evidence, verdict: Verdict) -> dict[str, float] | None:
    """Quality of the ranking against the true labels; None if it is not known or not defined."""
    noisy = is_noisy(evidence)
    if noisy is None or noisy.all() or not noisy.any():
        return None
    ranked = noisy[verdict.order]
    first = {f"precision_{m}": float(ranked[:m].mean()) for m in AMONG_FIRST if m <= len(ranked)}
    return {
        "noise_rate": float(noisy.mean()),
        "average_precision": average_precision(ranked),
        "auc": auc(evidence.suspicion, noisy),
        "calibration_error": calibration_error(verdict.wrong, noisy),
        **first,
    }


def average_precision(ranked: Bool[np.ndarray, " n"]) -> float:
    """The average precision of a list, by the places and not by the scores, which can be equal.

    Args:
        ranked: (n,), whether each label is wrong, the most suspicious label first.
    """
    from sklearn.metrics import average_precision_score  # slow to import

    return float(average_precision_score(ranked, -np.arange(len(ranked))))


def calibration_error(
    probability: Float[np.ndarray, " n"], happened: Bool[np.ndarray, " n"], bins: int = 10
) -> float:
    """Mean over ten groups of equal size of |mean probability - share that happened|.

    Source: expected calibration error, Guo et al., ICML 2017, with groups of equal size.

    Example:
        >>> round(calibration_error(np.array([0.2, 0.8]), np.array([False, True]), bins=2), 3)
        0.2
    """
    groups: list[Int[np.ndarray, " b"]] = np.array_split(np.argsort(probability), bins)
    sizes = sum(len(group) for group in groups)
    errors = [len(g) * abs(probability[g].mean() - happened[g].mean()) for g in groups if len(g)]
    return float(sum(errors) / sizes)
