"""Read human labels from a file: .npz, .csv, or .pt as CIFAR-N is published."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from labelnoise.errors import InputError

CLEAN_COLUMNS = ("clean", "clean_label")
# CIFAR-100N also has labels of the superclasses.
CLEAN_COARSE_COLUMNS = ("clean_coarse", "clean_coarse_label")
INDEX_COLUMN = "index"

# Maps the names in a file to the names to read, so that a large file is not read completely.
Pick = Callable[[list[str]], list[str]]


@dataclass(frozen=True, eq=False)
class GivenLabels:
    """A column of given labels of a file, and the true labels if the file has them."""

    column: str
    label: Int[Tensor, " n"]
    clean_label: Int[Tensor, " n"] | None


def read_labels(path: str | Path, column: str | None = None) -> GivenLabels:
    """Read a column of labels, and the true labels if the file has them.

    A column with exactly this name is used. If there is none, the names are compared without the
    ``_label`` of CIFAR-N: ``worse`` also means ``worse_label``, ``random1`` also means
    ``random_label1``, and the other way round. The true labels are ``clean`` or ``clean_label``;
    for a column of superclasses, such as ``noisy_coarse_label`` of CIFAR-100N, they are
    ``clean_coarse_label``.

    An .npz or .pt has a named array for each column; a .csv has the names in its first line. A
    column ``index`` must be 0, 1, 2, ..., because labels belong to samples by their position.

    Args:
        path: the file; its ending determines the format. No code in it is executed.
        column: the column of labels; None if the file has one column besides the true labels.

    Raises:
        InputError: a file that cannot be read, a missing column, or labels that are not integers.

    Source:
        github.com/UCSC-REAL/cifar-10-100n for the names in the published files.
    """
    file = Path(path).expanduser()
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise InputError(f"label file '{file}' must end in {', '.join(_READERS)}")
    if not file.is_file():
        raise InputError(f"label file '{file}' is not a file; write noise.path=<a file of labels>")

    def pick(names: list[str]) -> list[str]:
        wanted = _given_column(file, names, column)
        clean = next((name for name in _clean_columns(wanted) if name in names), None)
        index = INDEX_COLUMN if INDEX_COLUMN in names else None
        return list(dict.fromkeys(name for name in (wanted, clean, index) if name is not None))

    try:
        columns = reader(file, pick)
    except InputError:
        raise
    except Exception as error:  # a damaged or foreign file can raise anything
        # The function that the pickle names; torch did not call it.
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it asks for {asked[1]}" if asked else type(error).__name__
        raise InputError(
            f"label file '{file}' cannot be read ({reason}): it is damaged, or contains "
            "more than plain arrays; write an .npz or .csv of integer columns"
        ) from error
    checked = {name: _as_labels(file, name, values) for name, values in columns.items()}
    return _joined(file, checked)


def _joined(file: Path, columns: Mapping[str, Tensor]) -> GivenLabels:
    """Columns of one length, the given labels first, in the order of the data."""
    wanted = next(iter(columns))
    for name, values in columns.items():
        if len(values) != len(columns[wanted]):
            raise InputError(
                f"label file '{file}' has {len(columns[wanted])} values in '{wanted}' but "
                f"{len(values)} in '{name}'; write columns of equal length"
            )
    index = columns.get(INDEX_COLUMN)
    if index is not None and not torch.equal(index, torch.arange(len(index))):
        raise InputError(
            f"label file '{file}' has an '{INDEX_COLUMN}' that is not 0, 1, 2, ...; "
            "sort its lines into the order of the data, with a line for every sample"
        )
    clean = next((columns[name] for name in _clean_columns(wanted) if name in columns), None)
    return GivenLabels(wanted, columns[wanted], clean)


def _given_column(file: Path, names: list[str], column: str | None) -> str:
    """The full name of the column."""
    if column is not None and column in names:
        return column
    if column is not None:
        alike = [name for name in names if short_name(name) == short_name(column)]
        if alike:
            return alike[0]
    known = (*CLEAN_COLUMNS, *CLEAN_COARSE_COLUMNS, INDEX_COLUMN)
    given = [name for name in names if name not in known]
    if column is None and len(given) == 1:
        return given[0]
    came = "and no column was chosen" if column is None else f"but no column '{column}'"
    raise InputError(
        f"label file '{file}' holds {', '.join(names) or 'nothing'} {came}; "
        "write noise.column=<one of them>"
    )


def short_name(column: str) -> str:
    """The name of the column without the ``_label`` of CIFAR-N.

    Example:
        >>> short_name("worse_label"), short_name("random_label1"), short_name("random1")
        ('worse', 'random1', 'random1')
    """
    return re.sub(r"_label(\d*)$", r"\1", column)


def _clean_columns(column: str) -> tuple[str, ...]:
    """The names of the true labels that belong to the column."""
    return CLEAN_COARSE_COLUMNS if short_name(column).endswith("_coarse") else CLEAN_COLUMNS


def _as_labels(file: Path, name: str, values: np.ndarray) -> Tensor:
    """The values of a column as (n,) int64."""
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InputError(
            f"label file '{file}' has '{name}' of shape {values.shape} and type {values.dtype}; "
            "write one integer for each sample"
        )
    if len(values) and not 0 <= int(values.min()) <= int(values.max()) < 2**31:
        raise InputError(
            f"label file '{file}' has values from {values.min()} to {values.max()} in '{name}'; "
            "write class numbers from 0"
        )
    return torch.from_numpy(values.astype(np.int64))


def _read_npz(path: Path, pick: Pick) -> dict[str, np.ndarray]:
    # Opened here, because numpy does not close a damaged file.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in pick(list(arrays.files))}


def _read_csv(path: Path, pick: Pick) -> dict[str, np.ndarray]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        header = [name.strip() for name in next(rows, [])]
        names = pick(header)
        twice = [name for name in names if header.count(name) > 1]
        if twice:
            raise InputError(
                f"label file '{path}' names the column '{twice[0]}' twice; write each once"
            )
        columns: dict[str, list[int]] = {name: [] for name in names}
        wanted = [(columns[name], header.index(name)) for name in names]
        for row in rows:
            try:
                for values, place in wanted if row else ():
                    values.append(_integer(row[place]))
            except (ValueError, IndexError):
                raise InputError(
                    f"label file '{path}' has {','.join(row)!r} in line {rows.line_num}; "
                    f"write an integer under each of {', '.join(names)}"
                ) from None
    return {name: np.array(values, dtype=np.int64) for name, values in columns.items()}


def _integer(word: str) -> int:
    """An integer in plain digits; int() would also accept 1_0."""
    if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", word):
        raise ValueError(word)
    return int(word)


def _read_pt(path: Path, pick: Pick) -> dict[str, np.ndarray]:
    # The names in the pickle of an array: a function that numpy 2 moved, and the integer types.
    rebuild = np.empty(0).__reduce__()[0]
    integers = [type(np.dtype(f"{sign}{size}")) for sign in "iu" for size in (1, 2, 4, 8)]
    allowed: list[Any] = [
        (rebuild, "numpy.core.multiarray._reconstruct"),
        (rebuild, "numpy._core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        *integers,
    ]
    with (
        torch.serialization.safe_globals(allowed),
        warnings.catch_warnings(action="ignore", category=UserWarning),
        open(path, "rb") as file,
    ):
        # torch warns about a plain pickle before it refuses it.
        arrays = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(arrays, dict):
        raise InputError(
            f"label file '{path}' contains a {type(arrays).__name__}; save a dict of named arrays"
        )
    by_name = {str(name): values for name, values in arrays.items()}
    return {name: np.asarray(by_name[name]) for name in pick(list(by_name))}


_READERS: dict[str, Callable[[Path, Pick], dict[str, np.ndarray]]] = {
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".pt": _read_pt,
}
