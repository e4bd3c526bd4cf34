"""CSV files with names from users: written whole, and harmless in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labelnoise.files import replacing

# A spreadsheet takes text that begins so for a formula, and runs it.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def escape(cell: Any) -> Any:
    """A cell that no spreadsheet executes: text that begins as a formula gets an apostrophe before.

    Numbers, also as text, stay as they are. :func:`unescape` takes the apostrophe away again.

    Source: OWASP, CSV injection.

    Example:
        >>> [escape(cell) for cell in ("=1+1", "-1", "-x", "'=1", "cat", -1.5)]
        ["'=1+1", '-1', "'-x", "''=1", 'cat', -1.5]
    """
    is_formula = isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def unescape(cell: str) -> str:
    """What :func:`escape` was given.

    Example:
        >>> [unescape(cell) for cell in ("'=1+1", "''=1", "-1", "'tis")]
        ['=1+1', "'=1", '-1', "'tis"]
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``header`` and a line a row, empty where a row lacks a column; whole or not at all.

    Names that are no UTF-8, as files may have, are written byte by byte as they are.
    """
    with replacing(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(map(escape, header))
        writer.writerows([escape(row.get(name, "")) for name in header] for row in rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows that :func:`write_rows` wrote, by column."""
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.reader(file)
        header = [unescape(name) for name in next(rows, [])]
        return [dict(zip(header, map(unescape, row), strict=True)) for row in rows]
