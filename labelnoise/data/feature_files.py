"""Read rows of numbers with labels from .npz, CSV and Parquet files, without pickle."""

from __future__ import annotations

import csv
import logging
import zipfile
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from labelnoise.errors import InputError
from labelnoise.files.label_words import plain, some
from labelnoise.files.tables import unescape

log = logging.getLogger(__name__)

# Columns that are never features, besides the labels.
SPECIAL = ("clean", "split", "id")
# The separators of CSV files; the most frequent one in the first line is used.
SEPARATORS = ",;\t"


class Columns(NamedTuple):
    """The content of a file.

    Attributes:
        values: (n, d), the features as real numbers.
        names: the d names of the features.
        words: n words for each of "label", "clean", "split" and "id" that the file has.
    """

    values: np.ndarray
    names: list[str]
    words: dict[str, list[str]]


def read_npz(path: Path, label_column: str = "label") -> Columns:
    """The arrays X (n, d), y (n,), and clean, split and id (n,) if they exist.

    Raises:
        InputError: an array is missing or has another shape; X is not of real numbers.
    """
    # Opened here, because numpy does not close a damaged file.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        missing = [name for name in ("X", "y") if name not in arrays.files]
        if missing:
            raise InputError(
                f"{path} has the arrays {some(arrays.files) or 'none'} and lacks "
                f"{' and '.join(missing)}; write X, the features (n, d), and y, the labels (n,)"
            )
        values = arrays["X"]
        given = {"label": "y"} | {name: name for name in SPECIAL if name in arrays.files}
        words = {name: arrays[key] for name, key in given.items()}
        others = [name for name in arrays.files if name not in ("X", *given.values())]
    if others:
        log.warning("%s: the arrays %s are not read", path, some(others))
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise InputError(
            f"{path} has X of shape {values.shape} and type {values.dtype}; write real numbers of "
            "shape (n, d), a row for each sample"
        )
    for name, word in words.items():
        if word.shape != values.shape[:1]:
            raise InputError(
                f"{path} has {given[name]} of shape {word.shape} for {len(values)} rows of X; "
                "write one value for each row"
            )
    names = [str(column) for column in range(values.shape[1])]
    return Columns(values, names, {name: words_of(word.tolist()) for name, word in words.items()})


def read_csv(path: Path, label_column: str = "label") -> Columns:
    """The columns of a CSV with a header, separated by commas, semicolons or tabs.

    Raises:
        InputError: a column is missing or named twice, a line has too few cells, or a cell of a
            feature is not a number.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        separator = max(SEPARATORS, key=first.count)
        rows = csv.reader(chain([first], file), delimiter=separator)
        header = [name.strip() for name in next(rows, [])]
        special, features = _kinds(path, header, label_column)
        words: dict[str, list[str]] = {name: [] for name in special}
        values = array("d")
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise InputError(
                    f"{path} has {len(row)} cells in line {rows.line_num} but {len(header)} names "
                    "in its first line; write as many in every line"
                )
            for name, place in special.items():
                words[name].append(unescape(row[place].strip()))
            cells = [row[place] for place in features]
            try:
                values.extend(map(_number, cells) if "_" in "".join(cells) else map(float, cells))
            except ValueError:
                bad = {header[i]: row[i] for i in features if not _is_number(row[i])}
                raise _not_numbers(path, bad, f"line {rows.line_num}") from None
    table = np.array(values, dtype=np.float64, copy=None).reshape(-1, len(features))
    names = [header[place] for place in features]
    return Columns(table, names, {name: words_of(word) for name, word in words.items()})


def read_parquet(path: Path, label_column: str = "label") -> Columns:
    """The columns of a Parquet file; needs pyarrow.

    Raises:
        InputError: pyarrow is not installed, a column is missing or named twice, or a column of a
            feature is not of numbers.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError(
            f"{path} is a Parquet file, which needs pyarrow: pip install pyarrow, or write a CSV"
        ) from error
    table = pq.read_table(path)
    header = list(table.column_names)
    special, features = _kinds(path, header, label_column)
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    other = {
        header[place]: str(table.schema.field(place).type)
        for place in features
        if not any(test(table.schema.field(place).type) for test in numeric)
    }
    if other:
        raise _not_numbers(path, other, "the types of the columns")
    values = np.empty((table.num_rows, len(features)))
    for i, place in enumerate(features):
        values[:, i] = table.column(place).cast(pa.float64()).to_numpy()
    words = {name: words_of(table.column(place).to_pylist()) for name, place in special.items()}
    return Columns(values, [header[place] for place in features], words)


def words_of(values: Iterable[Any]) -> list[str]:
    """Labels and names as text; a real number without a fraction is a whole number.

    Example:
        >>> words_of([1, 2.0, True, " cat", b"dog", None, 0.5])
        ['1', '2', 'True', 'cat', 'dog', '', '0.5']
    """
    return [_word(value) for value in values]


def _word(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="surrogateescape")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return plain(str(value).strip())


def _kinds(
    path: Path, header: Sequence[str], label_column: str
) -> tuple[dict[str, int], list[int]]:
    """The places of the special columns by their meaning, and those of the features."""
    place = {name: i for i, name in enumerate(header)}
    if len(place) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{path} names the column {twice!r} twice; give each column its own name")
    if label_column not in place:
        raise InputError(
            f"{path} has no column {label_column!r}; its first line has {some(header) or 'nothing'}"
            ": write data.label_column=NAME for the column of the labels"
        )
    nameless = [i for name, i in place.items() if name == "" or name.startswith("__index_level_")]
    if nameless:
        raise InputError(
            f"{path} has no name for column {nameless[0] + 1}: if it is the row number that pandas "
            "writes, save with index=False or name it id, else name the feature"
        )
    special = {"label": place[label_column]}
    special |= {name: place[name] for name in SPECIAL if name in place and name != label_column}
    features = [i for i in place.values() if i not in special.values()]
    if not features:
        raise InputError(
            f"{path} has the columns {some(header)} and no feature; write a column of numbers"
        )
    return special, features


def _number(cell: str) -> float:
    """A number in plain digits; float() would also accept 1_0."""
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def _is_number(cell: str) -> bool:
    try:
        _number(cell)
    except ValueError:
        return False
    return True


def _not_numbers(path: Path, bad: Mapping[str, str], where: str) -> InputError:
    shown = some([f"{name} ({cell!r})" for name, cell in bad.items()], 5)
    return InputError(
        f"{path} has columns that are not numbers, seen in {where}: {shown}; leave these columns "
        "out or encode them as numbers, and fill or leave out empty cells"
    )


READERS: dict[str, Callable[[Path, str], Columns]] = {
    ".npz": read_npz,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
    ".pq": read_parquet,
}


def size_in_memory(path: Path) -> int:
    """About the bytes of the features when they are read, from the size of the file."""
    if path.suffix.lower() == ".npz" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    return 3 * path.stat().st_size
