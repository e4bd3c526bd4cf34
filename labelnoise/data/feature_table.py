"""A table of features with labels: checked, and split into training and test rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from labelnoise.data.feature_files import READERS, Columns, size_in_memory
from labelnoise.data.memory import check_fits
from labelnoise.errors import InputError, reason_of
from labelnoise.files.label_words import some
from labelnoise.processes.distributed import world_size

# Largest rounding error of float32, in standard deviations of a column.
LARGEST_ERROR = 1e-3
# Number of columns that are checked at once.
BLOCK = 64


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Rows of features with their labels as words.

    Attributes:
        source: the file, for messages.
        features: (n, d) float32, all finite.
        columns: the d names of the features.
        label: the n given labels.
        clean: the n true labels; None if the file has none.
        split: "train" or "test" for each row; None if the file has no such column.
        name: the n names of the rows: the column id, else the row numbers from 0.
    """

    source: str
    features: Float[np.ndarray, "n d"]
    columns: list[str]
    label: list[str]
    clean: list[str] | None
    split: list[str] | None
    name: list[str]

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, part: str) -> FeatureTable:
        """The rows of a part of the split, "train" or "test"."""
        assert self.split is not None
        at = [i for i, word in enumerate(self.split) if word == part]
        return replace(
            self,
            source=f"{self.source} (split={part})",
            features=self.features[at],
            label=[self.label[i] for i in at],
            clean=None if self.clean is None else [self.clean[i] for i in at],
            split=None,
            name=[self.name[i] for i in at],
        )


def read_features(path: Path, label_column: str = "label") -> FeatureTable:
    """Read and check a file of features; its ending determines the format.

    Raises:
        InputError: a file that cannot be read, has no rows, an empty label, an unknown part, a
            name twice, or a value that is not finite or that float32 cannot hold.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"features file '{path}' must end in {', '.join(READERS)}")
    if not path.is_file():
        raise InputError(f"features file '{path}' is not a file; write the path of a file")
    check_fits(2 * size_in_memory(path) * world_size(), f"the features in {path}",
               "write a smaller file")  # fmt: skip
    try:
        read = reader(path, label_column)
    except InputError:
        raise
    except Exception as error:  # a damaged or foreign file can raise anything
        raise InputError(
            f"features file '{path}' cannot be read ({_reason(error)}); write plain numbers "
            "and words, as .npz without objects, CSV in UTF-8, or Parquet"
        ) from error
    return _checked(str(path), read)


def _reason(error: Exception) -> str:
    reason = reason_of(error)
    if "allow_pickle" in reason:  # numpy's advice would execute code of the file
        return "it has Python objects, or it is not an .npz file"
    return reason


def _checked(source: str, read: Columns) -> FeatureTable:
    n, d = read.values.shape
    if n == 0 or d == 0:
        raise InputError(f"{source} has {n} rows of {d} features; write at least one of both")
    for name in ("label", "clean"):
        words = read.words.get(name, [])
        empty = [i for i, word in enumerate(words) if word in ("", "nan")]
        if empty:
            raise InputError(
                f"{source} has {len(empty)} of {n} rows without a {name}, the first is row "
                f"{empty[0]} (from 0); fill them or leave the rows out"
            )
    split = read.words.get("split")
    unknown = [word for word in split or () if word not in ("train", "test")]
    if unknown:
        raise InputError(
            f"{source} has {len(unknown)} rows with another split than train and test, the first "
            f"is {unknown[0]!r}; a run holds validation rows out of the training rows itself"
        )
    names = read.words.get("id", [str(i) for i in range(n)])
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(
            f"{source} has {len(twice)} values twice in id, the first is {twice[0]!r}; an id names "
            "one row, so make the values unique or leave the column out"
        )
    values = read.values
    _check_finite(source, values, read.names)
    return FeatureTable(
        source=source,
        features=_to_float32(source, values, read.names),
        columns=read.names,
        label=read.words["label"],
        clean=read.words.get("clean"),
        split=split,
        name=names,
    )


def _check_finite(source: str, values: np.ndarray, names: Sequence[str]) -> None:
    total, where = 0, []
    for start in range(0, values.shape[1], BLOCK):
        wrong = ~np.isfinite(values[:, start : start + BLOCK])
        total += int(wrong.sum())
        for column in wrong.any(0).nonzero()[0]:
            where.append(f"{names[start + column]} (row {int(wrong[:, column].argmax())})")
    if total:
        raise InputError(
            f"{source} has {total} values that are NaN, empty or infinite, in {len(where)} of "
            f"{len(names)} columns, the first are {some(where, 3)}, rows counted from 0; fill "
            "them or leave the rows or columns out"
        )


def _to_float32(source: str, values: np.ndarray, names: Sequence[str]) -> Float[np.ndarray, "n d"]:
    """The values as float32, if no column loses more than a little of its variation."""
    if values.dtype in (np.float32, np.float16):
        return values.astype(np.float32, copy=False)
    single = np.empty(values.shape, np.float32)
    lost = []
    for start in range(0, values.shape[1], BLOCK):
        block = values[:, start : start + BLOCK].astype(np.float64)
        with np.errstate(over="ignore"):
            single[:, start : start + BLOCK] = block
        error = np.abs(single[:, start : start + BLOCK] - block).max(0)
        bad = ~(error <= LARGEST_ERROR * block.std(0)) & (block.min(0) < block.max(0))
        lost += [names[start + column] for column in (bad | ~np.isfinite(error)).nonzero()[0]]
    if lost:
        raise InputError(
            f"{source} has {len(lost)} columns whose values float32 cannot tell apart: "
            f"{some(lost, 5)}; subtract the mean of the column, or rescale it"
        )
    return single
