"""An audit of predictions from elsewhere: nothing is trained."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from labelnoise.audit.evidence import Evidence, Gathered, mean_margin_loss
from labelnoise.checks import check_word
from labelnoise.errors import InputError
from labelnoise.files.label_words import read_classes, some
from labelnoise.files.tables import read_columns
from labelnoise.files.writing import content_of
from labelnoise.run_directory import RunDirectory

log = logging.getLogger(__name__)

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
            class numbers. Numbers in the labels are matched with names that are numbers first.
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
        classes: Sequence[str] | None = None,
        kind: str = "probabilities",
    ) -> None:
        check_word("data.kind", kind, KINDS)
        self.probabilities = Path(probabilities).expanduser()
        self.labels = Path(labels).expanduser()
        self.classes = None if classes is None else [str(name) for name in classes]
        self.kind = kind

    def fingerprints(self) -> dict[str, str | None]:
        """The fingerprints of the files."""
        return {
            "data.probabilities": content_of(self.probabilities),
            "data.labels": content_of(self.labels),
        }

    def restore(self, run: RunDirectory) -> None:
        """Nothing: the audit has no other files."""

    def gather(self, run: RunDirectory) -> Gathered:
        """The predictions and the labels; nothing is trained."""
        run.check_data(self.fingerprints())
        facts: dict[str, Any] = {
            "folds": None,
            "duplicates": None,
            "not_audited": {},
            "baseline": None,
        }
        return Gathered(self.evidence(), None, facts)

    def evidence(self) -> Evidence:
        """The predictions and the labels; probabilities and margins are means over the epochs."""
        found = self._predictions()
        names, words = self._words()
        label, class_names = self._label(words, found.shape[2])
        if len(label) != found.shape[1]:
            raise InputError(
                f"{self.labels} has {len(label)} labels but {self.probabilities} has "
                f"{found.shape[1]} rows; write one row for each label, in the same order"
            )
        given = np.unique(label)
        if len(given) < 2:
            raise InputError(
                f"{self.labels} gives all {len(label)} samples one class, "
                f"'{class_names[given[0]]}'; write the labels of two or more classes"
            )
        _check_order(found[-1], label, class_names, self.probabilities)
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
        shape = " x ".join(map(str, found.shape)) or "of one number"
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
        if self.kind == "logits":
            return _softmax(found)
        advice = "write probabilities, or data.kind=logits"
        negative: Any = found < 0
        _refuse_rows(path, negative.any(2), "rows with a number below 0", advice)
        off = np.abs(found.sum(2, dtype=np.float64) - 1) > TOLERANCE
        _refuse_rows(path, off, "rows that do not sum to 1", advice)
        return found.astype(np.float32, copy=False)

    def _words(self) -> tuple[NDArray[Any], list[str] | NDArray[np.int64]]:
        """The names of the samples, and their labels as words or as class numbers."""
        path = self.labels
        if path.suffix == ".npy":
            label = _load(path, "data.labels")
            if label.ndim != 1 or not np.issubdtype(label.dtype, np.integer):
                raise InputError(
                    f"{path} has {label.dtype} of {label.ndim} dimensions; write n whole numbers"
                )
            return np.arange(len(label)).astype(np.str_), label.astype(np.int64)
        try:
            columns = read_columns(path, ("sample", "file", "label"))
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(
                f"data.labels={path} cannot be read ({error}): write a CSV file with the column "
                "label, or an .npy file"
            ) from error
        if "label" not in columns:
            raise InputError(f"{path} has no column label; name it in the first line of the file")
        words = columns.pop("label")
        names = next(iter(columns.values()), [str(i) for i in range(len(words))])
        return np.array(names), [word.strip() for word in words]

    def _label(
        self, words: list[str] | NDArray[np.int64], classes: int
    ) -> tuple[Int[np.ndarray, " n"], list[str]]:
        names = self.classes
        if names is not None and (twice := [name for name in names if names.count(name) > 1]):
            raise InputError(f"data.classes names {twice[0]} twice; write each class once")
        if names is not None and len(names) != classes:
            raise InputError(
                f"data.classes has {len(names)} names but {self.probabilities} has {classes} "
                "columns; write one name for each column"
            )
        numbers = [str(k) for k in range(classes)]
        if names is None and isinstance(words, np.ndarray):
            outside = (words < 0) | (words >= classes)
            problem = f"labels outside 0 to {classes - 1}"
            _refuse_rows(self.labels, outside[None], problem, "write class numbers")
            return words, numbers
        if names is None and not set(numbers).issuperset(words):
            raise InputError(
                f"{self.labels} has the labels {some(sorted(set(words)))}; write the class of each "
                f"column of {self.probabilities} as data.classes=[a,b,...]"
            )
        names = names or numbers
        listed: list[Any] = words.tolist() if isinstance(words, np.ndarray) else words
        distinct = sorted(set(listed))
        first = [f"row {listed.index(word)}" for word in distinct]
        places, reading = read_classes(list(map(str, distinct)), names, str(self.labels), first)
        if reading is not None:
            log.info("%s", reading)
        class_of = dict(zip(distinct, places, strict=True))
        label = np.fromiter(map(class_of.__getitem__, listed), np.int64, len(listed))
        return label, names


def _softmax(logits: Float[np.ndarray, "T n K"]) -> Float[np.ndarray, "T n K"]:
    """softmax in float32 of logits of any size, because the largest logit is subtracted first.

    Example:
        >>> _softmax(np.array([[[1e300, 0.0]]])).tolist()
        [[[1.0, 0.0]]]
    """
    with np.errstate(over="ignore"):
        below = np.maximum(logits - logits.max(2, keepdims=True), np.finfo(np.float32).min)
    power = np.exp(below.astype(np.float32, copy=False))
    total: Float[np.ndarray, "T n 1"] = power.sum(2, keepdims=True)
    return power / total


def _check_order(
    probability: Float[np.ndarray, "n K"],
    label: Int[np.ndarray, " n"],
    class_names: Sequence[str],
    path: Path,
) -> None:
    """Refuse predictions that agree with the labels at least twice as often in another order.

    The agreement in the other order must also be three standard deviations above that of shuffled
    labels, because some order of guesses agrees with many labels by chance.
    """
    n, predicted = len(label), probability.argmax(1)
    now, best, columns = _best_order(predicted, label, len(class_names))
    shuffled = np.random.default_rng(0).permutation(label)
    _, chance, _ = _best_order(predicted, shuffled, len(class_names))
    if best >= 2 * now and best > chance + 3 * np.sqrt(chance * (1 - chance / n)):
        order = [class_names[k] for k in np.argsort(columns)]
        words = some(order, most=len(order))
        raise InputError(
            f"{path} agrees with {now / n:.1%} of the labels, but with {best / n:.1%} if its "
            f"columns are {words}: write the class of each column as "
            f"data.classes=[{words.replace(', ', ',')}], or reorder the columns"
        )


def _best_order(
    predicted: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"], classes: int
) -> tuple[int, int, Int[np.ndarray, " K"]]:
    """The labels that agree now, and in the best order, and the column of each class there."""
    cell = label * classes + predicted
    table = np.bincount(cell, minlength=classes**2).reshape(classes, classes)
    rows, columns = linear_sum_assignment(-table)
    return int(np.trace(table)), int(table[rows, columns].sum()), columns


def _load(path: Path, option: str) -> NDArray[Any]:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        reason = str(error)
        if "pickle" in reason or "objects" in reason:  # numpy advises to execute code of the file
            reason = "it has Python objects, or it is no .npy file"
        raise InputError(
            f"{option}={path} cannot be read ({reason}): write plain numbers with numpy.save"
        ) from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise InputError(f"{option}={path} is an archive of arrays; write one array with np.save")
    return found


def _refuse_rows(path: Path, bad: NDArray[np.bool_], problem: str, advice: str) -> None:
    if bad.any():
        first = int(np.flatnonzero(bad.any(0))[0])
        raise InputError(
            f"{path} has {int(bad.any(0).sum())} {problem}, the first is row {first}; {advice}"
        )
