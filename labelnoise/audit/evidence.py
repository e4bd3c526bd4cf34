"""The evidence about every label: predictions out of sample, and the dynamics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from labelnoise.dynamics.ranking import margin_loss
from labelnoise.run_directory import RunDirectory


@dataclass(frozen=True)
class Evidence:
    """What the networks of an audit say about n labels.

    Attributes:
        name: (n,) file names, or positions in the published data set.
        source_index: (n,) positions in the published data set or file list, ascending.
        label: (n,) the given labels.
        class_names: (K,).
        fold: (n,) the fold that holds the sample out; -1 without folds.
        probability: (n, K) softmax(logits) of the network that has not trained on the sample.
        suspicion: (n,) the margin loss of the given label, see
            :class:`labelnoise.dynamics.scores.RunningScores`; it determines the rank.
        dynamics: (n,) arrays by name, averaged over the networks that trained on the sample.
        loss: (T, n) the loss in each epoch, averaged over the same networks.
        clean_label: (n,) the true labels if they are known, else None.
    """

    name: NDArray[Any]
    source_index: Int[np.ndarray, " n"]
    label: Int[np.ndarray, " n"]
    class_names: NDArray[Any]
    fold: Int[np.ndarray, " n"]
    probability: Float[np.ndarray, "n K"]
    suspicion: Float[np.ndarray, " n"]
    dynamics: dict[str, Float[np.ndarray, " n"]] = field(default_factory=dict)
    loss: Float[np.ndarray, "T n"] | None = None
    clean_label: Int[np.ndarray, " n"] | None = None


@dataclass(frozen=True)
class Gathered:
    """The evidence of an audit, and other facts about its samples.

    Attributes:
        evidence: about n labels.
        equal: (n,) the number of the group of equal samples, -1 for a sample that occurs once; None
            without samples.
        facts: further entries of audit.json.
        scores: (n,) further columns of suspects.csv by name.
    """

    evidence: Evidence
    equal: Int[np.ndarray, " n"] | None
    facts: dict[str, Any]
    scores: dict[str, Float[np.ndarray, " n"]] = field(default_factory=dict)


@runtime_checkable
class Source(Protocol):
    """Data that can be audited."""

    def fingerprints(self) -> dict[str, str | None]:
        """The fingerprints of the files, by option."""

    def gather(self, run: RunDirectory) -> Gathered:
        """The evidence about all labels; files of the audit are kept in ``run``."""

    def restore(self, run: RunDirectory) -> None:
        """Compute lost files of a finished audit again, and refuse damaged files."""


def mean_margin_loss(
    probability: Float[np.ndarray, "T n K"], label: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Mean over the epochs of the margin loss, with the margin of log p.

    This is the margin of the logits, because softmax subtracts the same number from all of them.

    Example:
        >>> p = np.array([[[0.8, 0.2], [0.5, 0.5]]])
        >>> np.exp(-mean_margin_loss(p, np.array([0, 1]))).round(3).tolist()
        [0.8, 0.5]
    """
    total = np.zeros(len(label))
    for epoch in probability:
        logarithm = np.log(np.maximum(epoch, np.finfo(np.float32).tiny))
        given = np.take_along_axis(logarithm, label[:, None], 1)[:, 0]
        np.put_along_axis(logarithm, label[:, None], -np.inf, 1)
        total += margin_loss(given - logarithm.max(1))
    return total / len(probability)
