"""Read the given labels of image files from a table with the columns file and label."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from labelnoise.data.tables import read_table
from labelnoise.errors import InputError
from labelnoise.files.label_words import plain, read_classes
from labelnoise.files.tables import unescape

log = logging.getLogger(__name__)


def read_given_labels(
    path: Path, files: Sequence[str], class_names: Sequence[str], folder: str = "train"
) -> Int[Tensor, " n"]:
    """Read the given labels of ``files`` from a CSV with the columns ``file`` and ``label``.

    Args:
        path: a table, see :func:`labelnoise.data.tables.read_table`; other columns are ignored.
        files: the files as ``CLASS/name``; the CSV may also have ``folder/CLASS/name``.
        class_names: the labels are these names or their numbers 0..K-1; see
            :func:`labelnoise.files.label_words.read_classes`.
        folder: the folder of the files.

    Raises:
        InputError: no header, a file that is unknown, repeated or missing, an unknown class, labels
            that can be read in two ways, or only one class.
    """
    rows = _rows(path)
    place = {plain(file): i for i, file in enumerate(files)}
    place |= {file: i for i, file in enumerate(files)}  # names can differ only in Unicode form
    place |= {f"{folder}/{file}": i for file, i in place.items()}
    rows = [(_found(file, place), label) for file, label in rows]
    unknown = [repr(f) for f, _ in rows if f not in place]
    _refuse(path, "files that are not training images", unknown, "leave these rows out")
    # As in suspects.csv, text that a spreadsheet would execute may have an apostrophe before it.
    words = [label if label in class_names else unescape(label) for _, label in rows]
    names = [file for file, _ in rows]
    classes, reading = read_classes(words, class_names, str(path), names)
    label = torch.full((len(files),), -1)
    doubled = []
    for file, k in zip(names, classes, strict=True):
        if label[place[file]] >= 0:
            doubled.append(repr(file))
        label[place[file]] = k
    _refuse(path, "files in more than one row", doubled, "write one row for each file")
    missing = [repr(files[i]) for i in (label < 0).nonzero().flatten().tolist()]
    _refuse(path, "training images without a row", missing, "write a row for each image")
    if len(label.unique()) == 1:
        raise InputError(
            f"{path} gives all {len(label)} training images one class, "
            f"'{class_names[int(label[0])]}'; write the labels of two or more classes"
        )
    if reading is not None:
        log.info("%s", reading)
    return label


def _found(file: str, place: Mapping[str, int]) -> str:
    """The file as ``place`` has it: with slashes, in the composed form, without an apostrophe."""
    written = dict.fromkeys((file, file.replace("\\", "/"), unescape(file)))
    forms = (form for name in written for form in (name, plain(name)))
    return next((form for form in forms if form in place), file)


def _rows(path: Path) -> list[tuple[str, str]]:
    """The file and the label of each row."""
    table = read_table(path, "data.labels")
    if [table.columns.count(name) for name in ("file", "label")] != [1, 1]:
        raise InputError(
            f"{path} begins with {','.join(table.columns)!r}; its first line must name the "
            "columns file,label once each"
        )
    return list(zip(table.column("file"), table.column("label"), strict=True))


def _refuse(path: Path, problem: str, offenders: Sequence[str], remedy: str) -> None:
    if offenders:
        raise InputError(
            f"{path} has {len(offenders)} {problem}, the first is {offenders[0]}; {remedy}"
        )
