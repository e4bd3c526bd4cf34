"""An audit of predictions from elsewhere: nothing is trained."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from labelnoise.audit.evidence import Evidence, mean_margin_loss
from labelnoise.checks import check_word
from labelnoise.csv_files import read_columns
from labelnoise.errors import InputError
from labelnoise.files import content_of
from labelnoise.noise.label_words import read_classes, some

KINDS = ("probabilities", "logits")
# Allowed difference of the sum of a row of probabilities from 1.
TOLERANCE = 1e-3


class Predictions:
    """Probabilities or logits of your own network, and the given labels.

    The predictions should be out of sample: of networks that have not trained on the sample, as in
    cross-validation.

    Args:
        probabilities: an .npy file with (n, K) numbers, or (T, n, K) of T epochs.
        labels: the n given labels in the same order: a CSV with the column ``label``, or an .npy
            file with class numbers.
        classes: the K names of the classes in the order of the columns; None if the labels are
            class numbers.
        kind: "probabilities" or "logits".

    Raises:
        InputError: at :meth:`evidence`, files that cannot be used.
    """

    only_for_audits = True

    def __init__(
        self,
        *,
        probabilities: str | Path,
        labels: str | Path,
        classes: list[str] | None = None,
        kind: str = "probabilities",
    ) -> None:
        check_word("data.kind", kind, KINDS)
        self.probabilities = Path(probabilities).expanduser()
        self.labels = Path(labels).expanduser()
        self.classes = None if classes is None else [str(name) for name in classes]
        self.kind = kind

    def sources(self) -> dict[str, str | None]:
        """The fingerprints of the files."""
        return {
            "data.probabilities": content_of(self.probabilities),
            "data.labels": content_of(self.labels),
        }

    def evidence(self) -> Evidence:
        """The predictions and the labels; probabilities and margins are means over the epochs."""
        found = self._predictions()
        names, words = self._words(found.shape[2])
        label, class_names = self._label(words, found.shape[2])
        if len(label) != found.shape[1]:
            raise InputError(
                f"{self.labels} has {len(label)} labels but {self.probabilities} has "
                f"{found.shape[1]} rows; write one row for each label, in the same order"
            )
        _check_order(found[-1], label, class_names, self.probabilities)
        given = np.unique(label)
        if len(given) < 2:
            raise InputError(
                f"{self.labels} gives all {len(label)} samples one class, "
                f"'{class_names[given[0]]}'; write the labels of two or more classes"
            )
        mean = found.mean(0, dtype=np.float32) if len(found) > 1 else found[0]
        return Evidence(
            name=names,
            source_index=np.arange(len(label)),
            label=label,
            class_names=np.array(class_names, dtype=np.str_),
            fold=np.full(len(label), -1),
            probability=mean,
            suspicion=mean_margin_loss(found, label),
        )

    def _predictions(self) -> Float[np.ndarray, "T n K"]:
        path = self.probabilities
        found = _load(path, "data.probabilities")
        shape = " x ".join(map(str, found.shape))
        if found.ndim not in (2, 3) or found.shape[-1] < 2 or not found.size:
            raise InputError(
                f"{path} has the shape {shape}; write n x K numbers, or T x n x K for T epochs, "
                "with K of 2 or more classes"
            )
        found = found if found.ndim == 3 else found[None]
        if not np.issubdtype(found.dtype, np.floating):
            raise InputError(f"{path} has numbers of type {found.dtype}; write floating point")
        bad = np.any(~np.isfinite(found), axis=2)
        _refuse_rows(path, bad, "rows with numbers that are not finite", "write finite numbers")
        found = found.astype(np.float32, copy=False)
        if self.kind == "logits":
            found = np.exp(found - found.max(2, keepdims=True))
            return found / found.sum(2, keepdims=True)
        advice = "write probabilities, or data.kind=logits"
        negative: Any = found < 0
        _refuse_rows(path, negative.any(2), "rows with a number below 0", advice)
        off = np.abs(found.sum(2, dtype=np.float64) - 1) > TOLERANCE
        _refuse_rows(path, off, "rows that do not sum to 1", advice)
        return found

    def _words(self, classes: int) -> tuple[NDArray[Any], list[str] | NDArray[np.int64]]:
        """The names of the samples, and their labels as words or as class numbers."""
        path = self.labels
        if path.suffix == ".npy":
            label = _load(path, "data.labels")
            if label.ndim != 1 or not np.issubdtype(label.dtype, np.integer):
                raise InputError(
                    f"{path} has {label.dtype} of {label.ndim} dimensions; write n whole numbers"
                )
            outside = (label < 0) | (label >= classes)
            _refuse_rows(
                path, outside[None], f"labels outside 0 to {classes - 1}", "write class numbers"
            )
            return np.arange(len(label)).astype(np.str_), label.astype(np.int64)
        try:
            columns = read_columns(path, ("sample", "file", "label"))
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(f"data.labels={path} cannot be read: {error}") from error
        if "label" not in columns:
            raise InputError(f"{path} has no column label; name it in the first line of the file")
        words = columns.pop("label")
        names = next(iter(columns.values()), [str(i) for i in range(len(words))])
        return np.array(names), [word.strip() for word in words]

    def _label(
        self, words: list[str] | NDArray[np.int64], classes: int
    ) -> tuple[Int[np.ndarray, " n"], list[str]]:
        names = self.classes
        if names is not None and (len(names) != classes or len(set(names)) != classes):
            raise InputError(
                f"data.classes has {len(set(names))} names but {self.probabilities} has {classes} "
                "columns; write one name for each column"
            )
        if isinstance(words, np.ndarray):
            return words, names or [str(k) for k in range(classes)]
        numbers = [str(k) for k in range(classes)]
        if names is None and not set(numbers).issuperset(words):
            raise InputError(
                f"{self.labels} has the labels {some(sorted(set(words)))}; write the class of each "
                f"column of {self.probabilities} as data.classes=[a,b,...]"
            )
        names = names or numbers
        distinct, place = np.unique(np.array(words), return_inverse=True)
        first = [f"row {i}" for i in np.unique(place, return_index=True)[1]]
        classes_of, _ = read_classes(distinct.tolist(), names, str(self.labels), first)
        return np.array(classes_of, dtype=np.int64)[place], names


def _check_order(
    probability: Float[np.ndarray, "n K"],
    label: Int[np.ndarray, " n"],
    class_names: Sequence[str],
    path: Path,
) -> None:
    """Refuse predictions that agree with the labels at least twice as often in another order."""
    classes = len(class_names)
    cell = label * classes + probability.argmax(1)
    table = np.bincount(cell, minlength=classes**2).reshape(classes, classes)
    rows, columns = linear_sum_assignment(-table)
    best = table[rows, columns].sum()
    if best >= 2 * np.trace(table) and best > 0:
        order = [class_names[k] for k in np.argsort(columns)]
        raise InputError(
            f"{path} agrees with {np.trace(table) / len(label):.1%} of the labels, but with "
            f"{best / len(label):.1%} if its columns are {some(order, most=classes)}: write the "
            "class of each column as data.classes=[a,b,...]"
        )


def _load(path: Path, option: str) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{option}={path} cannot be read as an .npy file: {error}") from error


def _refuse_rows(path: Path, bad: NDArray[np.bool_], problem: str, advice: str) -> None:
    if bad.any():
        first = int(np.flatnonzero(bad.any(0))[0])
        raise InputError(
            f"{path} has {int(bad.any(0).sum())} {problem}, the first is row {first}; {advice}"
        )
