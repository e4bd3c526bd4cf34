"""Your own images in a table of paths and labels, optionally with splits and true labels."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from labelnoise.checks import check_word
from labelnoise.data.found_images import Found, ImageList
from labelnoise.data.image_lists import ImageListDataModule
from labelnoise.data.image_rows import Row, find_columns, read_rows
from labelnoise.data.tables import Table, read_table
from labelnoise.errors import InputError
from labelnoise.files.label_words import read_classes, some
from labelnoise.files.writing import content_of
from labelnoise.noise import LabelNoise

log = logging.getLogger(__name__)

NUMBER = re.compile("-?[0-9]{1,18}")
# Values of data.truth.
TRUTHS = ("unknown", "labels")
# Columns that are named in the log if they are not used.
MAY_BE_CLEAN = ("clean", "clean_label", "true_label")


def names_of_classes(words: Iterable[str], source: str) -> list[str]:
    """The different words, sorted as numbers if all are whole numbers, else as text.

    Raises:
        InputError: two different words are the same number.

    Example:
        >>> names_of_classes(["10", "2", "01", "2"], "images.csv")
        ['01', '2', '10']
        >>> names_of_classes(["10", "2", "cat"], "images.csv")
        ['10', '2', 'cat']
    """
    names = sorted(set(words))
    values = {name: int(name) for name in names if NUMBER.fullmatch(name)}
    twice = [f"'{a}' and '{b}'" for a, b in _equal(values)]
    if twice:
        raise InputError(
            f"{source} has labels that are the same number: {some(twice, 3)}; write each class in "
            "one form"
        )
    return sorted(names, key=lambda name: values[name]) if len(values) == len(names) else names


def _equal(values: dict[str, int]) -> list[tuple[str, str]]:
    ordered = sorted(values, key=lambda name: values[name])
    return [(a, b) for a, b in pairwise(ordered) if values[a] == values[b]]


def read_true_labels(
    words: Sequence[str], class_names: Sequence[str], source: str, samples: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The classes that true labels name, and all class names.

    Words are matched with the class names, then by equal value (1 and 01). They are never read as
    positions of classes. If some are class names, other words are classes without given labels, but
    other numbers are refused, because they may be positions.

    Args:
        words: the n true labels.
        class_names: the classes of the given labels.
        source: the table and the column, for messages.
        samples: n names of the images, for messages.

    Raises:
        InputError: the words can be read in no way, or in two ways.

    Example:
        >>> read_true_labels(["cat", "eel"], ["cat", "dog"], "t.csv", ["a", "b"])
        (['cat', 'eel'], ['cat', 'dog', 'eel'])
        >>> read_true_labels(["1", "3"], ["01", "03"], "t.csv", ["a", "b"])
        (['01', '03'], ['01', '03'])
    """
    if set(words) & set(class_names):
        values = {int(name): name for name in class_names if NUMBER.fullmatch(name)}
        numbers = {w: int(w) for w in set(words) - set(class_names) if NUMBER.fullmatch(w)}
        unknown = sorted(word for word, value in numbers.items() if value not in values)
        if unknown:
            raise InputError(
                f"{source} has the numbers {some(unknown, 5)}, which are no class of the column of "
                f"labels: {some(class_names)}; write the class names of the column of labels"
            )
        matched = [values[numbers[word]] if word in numbers else word for word in words]
        return matched, names_of_classes([*class_names, *matched], source)
    classes, reading = read_classes(words, class_names, source, samples)
    if reading is not None and "numbers from 0" in reading:
        raise InputError(
            f"{source} has no class name but the numbers {some(sorted(set(words)), 5)}: the true "
            f"labels must be words of the column of labels: {some(class_names)}"
        )
    return [class_names[k] for k in classes], list(class_names)


class ImageTableDataModule(ImageListDataModule):
    """Images with the labels and splits of a table; see :class:`ImageListDataModule`.

    The classes are the words in the column of labels. Without test rows there are no test metrics.
    The rows of the split "val" are the validation split; without such rows it is drawn.

    Without ``clean_column``, ``noise`` flips the labels of the table; if it flips nothing, the true
    labels are unknown unless ``truth`` is "labels". With ``clean_column`` this column has the true
    labels, and the kind of the record is "table".

    Args:
        noise: the label noise; "none" with ``clean_column``.
        table: CSV, TSV or Parquet, see :func:`labelnoise.data.tables.read_table`.
        root: the folder to which the paths are relative; None is the folder of the table.
        path_column, label_column, split_column: the columns; None is the first with a usual name.
        clean_column: the column of true labels; None: there is none.
        truth: "labels" if the labels of the table are the true labels, else "unknown".
        options: the options of :class:`ImageListDataModule`.

    Raises:
        InputError: noise or ``truth="labels"`` in addition to ``clean_column``; at set-up, a table
            or images that cannot be used.
    """

    record_kind = "table"

    def __init__(
        self,
        noise: LabelNoise,
        *,
        table: str | Path,
        root: str | Path | None = None,
        path_column: str | None = None,
        label_column: str | None = None,
        split_column: str | None = None,
        clean_column: str | None = None,
        truth: str = "unknown",
        **options: Any,
    ) -> None:
        self.path = Path(table).expanduser()
        super().__init__(noise, root=self.path.parent if root is None else root, **options)
        check_word("data.truth", truth, TRUTHS)
        self.labels_are_true = truth == "labels"
        if clean_column is not None and (noise.kind != "none" or self.labels_are_true):
            other = "data.truth=labels" if self.labels_are_true else f"noise={noise.kind}"
            raise InputError(
                f"data.clean_column={clean_column} gives the true labels of the labels in the "
                f"table, but {other} takes the labels for true; write noise=none and "
                "data.truth=unknown, or data.clean_column=null"
            )
        self.columns = {
            "path": path_column, "label": label_column, "split": split_column, "clean": clean_column
        }  # fmt: skip

    def sources(self) -> dict[str, str | None]:
        return super().sources() | {"data.table": content_of(self.path)}

    def file_names(self) -> list[str]:
        return [row.file for row in self._rows[0]]

    @cached_property
    def _rows(self) -> tuple[list[Row], int]:
        """The rows of different files, and the number of repeated rows."""
        if not self.root.is_dir():
            raise InputError(
                f"there is no folder data.root={self.root}; give the folder of the images"
            )
        return read_rows(self._table, self.root, find_columns(self._table, self.columns))

    @cached_property
    def _table(self) -> Table:
        return read_table(self.path, "data.table")

    def find(self) -> Found:
        rows, repeated = self._rows
        names = names_of_classes([row.label for row in rows], str(self.path))
        self._check_classes(rows, names)
        columns = find_columns(self._table, self.columns)
        clean: list[str] = []
        if "clean" in columns:
            words, files = [row.clean for row in rows], [row.file for row in rows]
            source = f"column {columns['clean']!r} of {self.path}"
            clean, names = read_true_labels(words, names, source, files)
        self._say(columns, names)
        parts = {s: [i for i, row in enumerate(rows) if row.split == s] for s in ("val", "test")}
        pool = [i for i, row in enumerate(rows) if row.split != "test"]
        held = torch.tensor([rows[i].split == "val" for i in pool]) if parts["val"] else None

        def images(chosen: Sequence[int]) -> ImageList:
            place = {name: k for k, name in enumerate(names)}
            return ImageList(
                [rows[i].file for i in chosen],
                torch.tensor([place[rows[i].label] for i in chosen]),
                torch.tensor([place[clean[i]] for i in chosen]) if clean else None,
                is_final=bool(clean),
                is_held=held if chosen is pool else None,
            )

        test = images(parts["test"]) if parts["test"] else None
        return Found(names, images(pool), test, +Counter(repeated_rows=repeated))

    def _check_classes(self, rows: Sequence[Row], names: Sequence[str]) -> None:
        """Refuse one class, a class without training rows, and a label of its own in every row."""
        if len(names) < 2:
            raise InputError(
                f"{self.path} has one class, {names[0]!r}; write rows of two or more classes"
            )
        if len(names) == len(rows) > 2:
            raise InputError(
                f"{self.path} has another label in each of {len(rows)} rows, such as {names[0]!r}; "
                "write data.label_column=the column of classes"
            )
        trained = {row.label for row in rows if row.split == "train"}
        lost = [row for row in rows if row.label not in trained]
        if lost:
            raise InputError(
                f"{self.path} has {len({row.label for row in lost})} of {len(names)} classes "
                f"without training rows, the first is {lost[0].label!r} in {lost[0].place}; "
                "write the split train in some of their rows"
            )

    def _say(self, columns: dict[str, str], names: Sequence[str]) -> None:
        read = ", ".join(f"{key} from column {name!r}" for key, name in columns.items())
        unused = [name for name in self._table.columns if name.lower() in MAY_BE_CLEAN]
        unused = [name for name in unused if name not in columns.values()]
        more = (
            f"; column {unused[0]!r} is not used, data.clean_column={unused[0]} reads true labels"
            if unused
            else ""
        )
        log.info("%s: %s; classes: %s%s", self.path, read, some(names), more)
