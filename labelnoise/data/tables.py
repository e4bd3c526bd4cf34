"""Read the columns of a table as text: CSV, TSV, Excel's semicolons, or Parquet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelnoise.errors import InputError
from labelnoise.files.label_words import plain, some

DELIMITERS = (",", ";", "\t")
PARQUET = (".parquet", ".pq")
# The marks at the beginning of UTF-16 files, as Excel writes "Unicode text".
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Table:
    """The columns of a table.

    Attributes:
        path: the file.
        option: the option that names the file.
        columns: m names in the composed form of Unicode.
        rows: n rows of m cells, without spaces around.
        places: n places of the rows for messages, such as "line 7".
    """

    path: Path
    option: str
    columns: list[str]
    rows: list[list[str]]
    places: list[str]

    def column(self, name: str) -> list[str]:
        """The cells of a column; refuses a name that is not there once."""
        times = self.columns.count(name)
        if times != 1:
            came = f"has {times} columns {name!r}" if times else f"has no column {name!r}"
            raise InputError(
                f"{self.path} {came}, its columns are: {some(self.columns)}; write the name of one "
                "of them"
            )
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def find(self, option: str, wanted: str | None, usual: Sequence[str]) -> str | None:
        """The name of a column: ``wanted``, or the first of the ``usual`` names in any case.

        Raises:
            InputError: there is no column ``wanted``.
        """
        if wanted is None:
            lower = [name.casefold() for name in self.columns]
            return next((self.columns[lower.index(n)] for n in usual if n in lower), None)
        if plain(wanted) not in self.columns:
            raise InputError(
                f"{option}={wanted} is not in {self.path}, its columns are: {some(self.columns)}"
            )
        return plain(wanted)


def read_table(path: Path, option: str) -> Table:
    """Read a table with the names of its columns in the first line.

    A text is UTF-8, with or without the mark of Windows, or UTF-16 with a mark. Its cells are
    separated by commas, semicolons or tabs: by the sign that divides the first line into most
    names. Lines without text are left out.

    Args:
        path: a file; the endings .parquet and .pq are Parquet, all others are text.
        option: the option that names it, for messages.

    Raises:
        InputError: the file cannot be read, or a row has more cells than there are columns.
    """
    try:
        content = path.read_bytes()
        if path.suffix.lower() in PARQUET:
            return _read_parquet(path, option)
        rows = _rows(_text(content))
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(
            f"{option}={path} cannot be read ({error}); write a CSV file in UTF-8, or Parquet"
        ) from error
    header = next((cells for _, cells in rows), [])
    table = Table(path, option, [plain(name) for name in header], [], [])
    for line, cells in rows[1:]:
        if any(cells[len(header) :]):
            raise InputError(
                f"{path} has {len(cells)} cells in line {line} but {len(header)} columns: "
                f"{some(header)}; put text with a separator into quotes"
            )
        table.rows.append((cells + [""] * len(header))[: len(header)])
        table.places.append(f"line {line}")
    return table


def _text(content: bytes) -> str:
    text = content.decode("utf-16" if content.startswith(UTF_16) else "utf-8-sig")
    if "\0" in text:
        raise UnicodeError("it has zero bytes")
    return text


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """The number of the last line and the cells of each row that has text."""
    told = re.match(r"sep=(.)\r?\n", text)  # Excel's own line for the separator
    text = text[told.end() :] if told else text
    delimiter = told[1] if told else max(DELIMITERS, key=lambda sign: _width(text, sign))
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    first = 1 if told else 0
    found = ((reader.line_num + first, [cell.strip() for cell in cells]) for cells in reader)
    return [(line, cells) for line, cells in found if any(cells)]


def _width(text: str, delimiter: str) -> int:
    """Number of cells in the first row with text."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    return next((len(row) for row in rows if any(row)), 0)


def _read_parquet(path: Path, option: str) -> Table:
    """The columns of text and of numbers in a Parquet file; an empty cell is empty text."""
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError(
            f"{option}={path} is a Parquet file, which needs pyarrow: pip install pyarrow, or save "
            "the table as CSV"
        ) from error
    try:
        table = pq.read_table(path)
    except Exception as error:  # pyarrow's own exceptions
        reason = " ".join(str(error).split())
        raise InputError(
            f"{option}={path} cannot be read ({reason}); write a Parquet file"
        ) from error
    columns = [[_word(value) for value in column.to_pylist()] for column in table.columns]
    rows = [list(cells) for cells in zip(*columns, strict=True)]
    places = [f"row {number}" for number in range(1, len(rows) + 1)]
    return Table(path, option, [plain(name) for name in table.column_names], rows, places)


def _word(value: Any) -> str:
    """A cell as text: whole numbers in digits, also if missing cells made them floats.

    Example:
        >>> _word(3.0), _word(None), _word(" cat ")
        ('3', '', 'cat')
    """
    if value is None or value != value:
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
