"""CSV files with names from users: written completely or not at all, and safe in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from labelnoise.files.writing import replacing

# A spreadsheet executes text with this beginning as a formula.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_STARTS = frozenset("'=+-@\t\r")
# In cells that are joined by line ends: what a cell needs to be escaped or quoted.
_ODD = (",", '"', "\r", *(f"\n{start}" for start in "'=+-@\t"))
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def escape(cell: Any) -> Any:
    """A cell that no spreadsheet executes: text that begins as a formula gets an apostrophe.

    Numbers, also as text, do not change. :func:`unescape` removes the apostrophe.

    Source: OWASP, CSV injection.

    Example:
        >>> [escape(cell) for cell in ("=1+1", "-1", "-x", "'=1", "cat", -1.5)]
        ["'=1+1", '-1', "'-x", "''=1", 'cat', -1.5]
    """
    if not isinstance(cell, str) or cell[:1] not in _STARTS:  # most cells of a large file
        return cell
    is_formula = cell and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def unescape(cell: str) -> str:
    """The inverse of :func:`escape`.

    Example:
        >>> [unescape(cell) for cell in ("'=1+1", "''=1", "-1", "'tis")]
        ['=1+1', "'=1", '-1', "'tis"]
    """
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``header`` and a line for each row, completely or not at all; a missing cell is empty.

    File names that are not UTF-8 are written with their original bytes.
    """
    with replacing(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(map(escape, header))
        writer.writerows([escape(row.get(name, "")) for name in header] for row in rows)


def write_columns(path: Path, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
    """As :func:`write_rows`, for columns of equal length; fast for millions of rows.

    Floats are written with six significant digits, and NaN as an empty cell.
    """
    with replacing(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        _write_columns(file, columns)


def text_of_columns(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> str:
    """The text of :func:`write_columns`, with line ends of one character."""
    file = io.StringIO()
    _write_columns(file, columns, lineterminator="\n")
    return file.getvalue()


def _write_columns(
    file: IO[str], columns: Mapping[str, Sequence[Any] | np.ndarray], **dialect: Any
) -> None:
    writer = csv.writer(file, **dialect)
    writer.writerow(map(escape, columns))
    if len(columns) > 1 and all(map(_is_plain, columns.values())):
        formats = ("%.6g" if _is_float(c) else "%s" for c in columns.values())
        line = ",".join(formats) + writer.dialect.lineterminator
        file.writelines(map(line.__mod__, zip(*map(_values, columns.values()), strict=True)))
    else:
        writer.writerows(zip(*map(_cells, columns.values()), strict=True))


def _is_plain(column: Sequence[Any] | np.ndarray) -> bool:
    """Whether no cell is empty for NaN, escaped (as -inf) or quoted, so that one format fits."""
    if isinstance(column, range) or (isinstance(column, np.ndarray) and column.dtype.kind in "iu"):
        return True
    if _is_float(column):
        return bool(np.isfinite(column).all())
    values = _values(column)
    if not set(map(type, values)) <= {str, int}:
        return False
    text = "\n".join(["", *map(str, values)])
    return text.count("\n") == len(values) and not any(odd in text for odd in _ODD)


def _is_float(column: Sequence[Any] | np.ndarray) -> bool:
    return isinstance(column, np.ndarray) and column.dtype.kind == "f"


def _values(column: Sequence[Any] | np.ndarray) -> Sequence[Any]:
    return column.tolist() if isinstance(column, np.ndarray) else column


def _cells(column: Sequence[Any] | np.ndarray) -> Iterable[Any]:
    values = _values(column)
    if _is_float(column):
        return ("" if value != value else escape(f"{value:.6g}") for value in values)
    return map(escape, values)


def read_columns(path: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """The columns of a CSV file that are in ``names``; a byte order mark is ignored.

    Raises:
        ValueError: no header, or a row with another number of cells.
    """
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = csv.reader(file)
        header = [unescape(name.strip()) for name in next(rows, [])]
        places = {name: header.index(name) for name in names if name in header}
        found: dict[str, list[str]] = {name: [] for name in places}
        columns = [(found[name], place) for name, place in places.items()]
        for row in rows:
            if len(row) != len(header):
                raise ValueError(f"line {rows.line_num} has {len(row)} cells, not {len(header)}")
            for cells, place in columns:
                cells.append(row[place])
        return {name: list(map(unescape, cells)) for name, cells in found.items()}


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file of :func:`write_rows`, by column; empty lines are skipped.

    Raises:
        ValueError: a row has more or fewer cells than the first line.
    """
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.reader(file)
        header = [unescape(name) for name in next(rows, [])]
        found = []
        for row in rows:
            if len(row) not in (0, len(header)):
                line = f"line {rows.line_num} has {len(row)} cells for {len(header)} columns"
                raise ValueError(line)
            if row:
                found.append(dict(zip(header, map(unescape, row), strict=True)))
        return found
