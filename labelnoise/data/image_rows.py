"""Read the rows of a table of images: a file, its label, its split and its true label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from labelnoise.data.class_folders import check_letters
from labelnoise.data.image_paths import ImagePaths
from labelnoise.data.tables import Table
from labelnoise.errors import InputError
from labelnoise.files.label_words import plain, some
from labelnoise.files.tables import unescape

# The names of columns that are used if an option names none, in lower case.
USUAL = {
    "path": ("path", "file", "filename", "file_name", "filepath", "image", "image_path"),
    "label": ("label", "class", "class_name", "category"),
    "split": ("split", "subset", "partition"),
    "clean": (),
}
SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip


class Row(NamedTuple):
    """A row: a file below the root, its words, and the place of the row for messages.

    ``clean`` is empty without a column of true labels.
    """

    file: str
    label: str
    split: str
    clean: str
    place: str


def find_columns(table: Table, wanted: Mapping[str, str | None]) -> dict[str, str]:
    """The names of the columns path, label, split and clean, as far as there are such columns.

    Args:
        table: the table.
        wanted: the names in the options; None is the first of the ``USUAL`` names.

    Raises:
        InputError: a column that an option names, or the column of paths or labels, is missing.
    """
    found = {}
    for key, usual in USUAL.items():
        name = table.find(f"data.{key}_column", wanted[key], usual)
        if name is not None:
            found[key] = name
        elif key in ("path", "label"):
            raise InputError(
                f"{table.path} has no column {' or '.join(usual)}, its columns are: "
                f"{some(table.columns)}; write data.{key}_column=one of them"
            )
    return found


def read_rows(table: Table, root: Path, columns: Mapping[str, str]) -> tuple[list[Row], int]:
    """The rows of different files, and the number of rows that repeat an earlier one.

    Args:
        table: the table.
        root: the folder to which paths are relative.
        columns: of :func:`find_columns`. Without a column of splits all rows train.

    Raises:
        InputError: an empty label, an unknown split, a file that does not exist, or two rows of one
            file that differ.
    """
    # As in our own CSV files, text that a spreadsheet would execute has an apostrophe before it.
    cells = {
        key: [plain(unescape(cell)) for cell in table.column(name)] for key, name in columns.items()
    }
    empty = [""] * len(table.rows)
    for key in ("path", "label", "clean"):
        missing = [p for p, cell in zip(table.places, cells.get(key, ()), strict=False) if not cell]
        _refuse(table, f"rows without a word in column {columns.get(key)!r}", missing,
                "; write one, or leave the rows out")  # fmt: skip
    splits = _splits(table, cells["split"]) if "split" in cells else ["train"] * len(table.rows)
    files = _files(table, root, table.column(columns["path"]))
    rows = [
        Row(*row)
        for row in zip(
            files, cells["label"], splits, cells.get("clean", empty), table.places, strict=True
        )
    ]
    first: dict[str, Row] = {}
    differ = []
    for row in rows:
        other = first.setdefault(row.file, row)
        if other[:-1] != row[:-1]:
            differ.append(
                f"{row.file}: {_words(other)} in {other.place}, {_words(row)} in {row.place}"
            )
    _refuse(table, "images with rows that differ", differ, "; write one row for each")
    if not rows:
        raise InputError(
            f"{table.path} has no rows below its first line; write a row for each image"
        )
    return list(first.values()), len(rows) - len(first)


def _splits(table: Table, words: Sequence[str]) -> list[str]:
    unknown = [
        f"{word!r} in {place}"
        for word, place in zip(words, table.places, strict=True)
        if word.lower() not in SPLITS
    ]
    allowed = ", ".join(SPLITS)
    _refuse(table, "rows with an unknown split", unknown, f"; the splits are {allowed}")
    return [SPLITS[word.lower()] for word in words]


def _files(table: Table, root: Path, names: Sequence[str]) -> list[str]:
    paths = ImagePaths(root)
    found = [paths.find(name) for name in names]
    missing = [name for name, file in zip(names, found, strict=True) if file is None]
    if missing:
        raise InputError(
            f"{table.path} names {len(missing)} of {len(names)} files that are not below {root}: "
            f"{some(missing, 3)}; write data.root=the folder to which the paths are relative"
        )
    files = [file for file in found if file is not None]
    check_letters(root, files)
    return files


def _words(row: Row) -> str:
    return " ".join(repr(word) for word in (row.label, row.clean, row.split) if word)


def _refuse(table: Table, problem: str, offenders: Sequence[str], advice: str = "") -> None:
    if offenders:
        raise InputError(
            f"{table.path} has {len(offenders)} {problem}, the first is {offenders[0]}{advice}"
        )
