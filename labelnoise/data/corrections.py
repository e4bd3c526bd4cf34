"""Apply corrections.csv, the decisions that a person saved on a review page, to given labels."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.files.label_words import plain, some
from labelnoise.files.tables import read_rows
from labelnoise.noise import NoiseRecord

COLUMNS = ("sample", "given_label", "decision", "label", "data")
DECISIONS = ("keep", "change", "drop")


def fingerprint_of(names: Sequence[str], labels: Sequence[str]) -> str:
    """A fingerprint of the names of samples and of their given labels in words.

    It is ``labels-`` and 16 hexadecimal digits of a SHA-256. A spreadsheet would read some digits
    alone as a number. The order of the samples and the Unicode form of the words do not matter.

    Example:
        >>> fingerprint_of(["a", "b"], ["cat", "dog"])
        'labels-609bc061daea524f'
        >>> fingerprint_of(["b", "a"], ["dog", "cat"])
        'labels-609bc061daea524f'
    """
    rows = sorted((plain(name), plain(label)) for name, label in zip(names, labels, strict=True))
    return "labels-" + hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Corrected:
    """The labels of n samples after corrections.

    Attributes:
        label: (n,) int64; the labels of dropped samples do not change.
        kept: (n,) bool, False for dropped samples.
        decisions: the numbers of decisions, by the words in ``DECISIONS``.
    """

    label: Int[Tensor, " n"]
    kept: Bool[Tensor, " n"]
    decisions: Counter[str]

    def record(self, drawn: NoiseRecord, source_index: Int[Tensor, " n"]) -> NoiseRecord:
        """The record ``drawn`` of these samples, with the corrected labels."""
        if self.kept.all():
            return replace(drawn, label=self.label)
        clean = drawn.clean_label
        return replace(
            drawn,
            label=self.label[self.kept],
            clean_label=None if clean is None else clean[self.kept],
            source_index=source_index[self.kept],
        )

    def summary(self, files: Sequence[Path]) -> dict[str, Any]:
        """The files and the numbers of changed, dropped and kept samples, for summary.json."""
        made = self.decisions
        return {
            "files": [str(file) for file in files],
            "changed": made["change"],
            "dropped": made["drop"],
            "kept": made["keep"],
        }

    def describe(self, files: Sequence[Path]) -> str:
        """The corrections in one line, for the log."""
        made, names = self.decisions, ", ".join(map(str, files))
        return (
            f"corrections of {names}: {made['change']} labels changed, {made['drop']} samples "
            f"dropped, {made['keep']} labels kept"
        )


def correct(
    files: Sequence[Path],
    names: Sequence[str],
    label: Int[Tensor, " n"],
    class_names: Sequence[str],
) -> Corrected:
    """Apply files of corrections one after the other.

    A file is for the names and labels that the files before it leave.

    Args:
        files: of the form of corrections.csv.
        names: the names of the n samples.
        label: their given labels.
        class_names: the names of the classes.

    Raises:
        InputError: a file cannot be read, is for other names or labels, or has a wrong row; or the
            corrections leave samples of fewer than two classes.
    """
    classes = [str(name) for name in class_names]
    label, kept = label.clone(), torch.ones(len(label), dtype=torch.bool)
    decisions = Counter[str]()
    for file in files:
        left = kept.nonzero().flatten().tolist()
        place = {names[i]: i for i in left}
        words = {name: classes[int(label[i])] for name, i in place.items()}
        for name, decision, new in decisions_of(file, words, classes):
            if decision == "change":
                label[place[name]] = classes.index(new)
            elif decision == "drop":
                kept[place[name]] = False
            decisions[decision] += 1
    remaining = len(label[kept].unique())
    if files and remaining < 2:
        raise InputError(
            f"{_said(files[-1])} leaves {int(kept.sum())} of {len(kept)} samples, in {remaining} "
            "classes: keep samples of two or more classes"
        )
    return Corrected(label, kept, decisions)


def decisions_of(
    file: Path, given: Mapping[str, str], class_names: Sequence[str]
) -> list[tuple[str, str, str]]:
    """The sample, the decision and the new label in each row of a file.

    Args:
        file: of the form of corrections.csv.
        given: the given label of each sample, in words.
        class_names: the names of the classes.

    Raises:
        InputError: as in `correct`.
    """
    rows = _rows(file)
    ours = fingerprint_of(list(given), list(given.values()))
    others = [row["data"] for row in rows if row["data"] != ours]
    if others:
        raise InputError(
            f"{_said(file)} is for other data: {len(others)} of {len(rows)} rows have the "
            f"fingerprint {others[0]!r}, but the names and given labels of these data have "
            f"{ours!r}: use the options of data and noise of the reviewed run"
        )
    by_form = {plain(name): name for name in given}
    known = {plain(name): name for name in class_names}
    found = [_decision(file, row, given, by_form, known) for row in rows]
    twice = [name for name, times in Counter(name for name, _, _ in found).items() if times > 1]
    if twice:
        raise InputError(
            f"{_said(file)} has {len(twice)} samples in more than one row, the first is "
            f"{twice[0]!r}: leave one row for each sample"
        )
    return found


def _decision(
    file: Path,
    row: Mapping[str, str],
    given: Mapping[str, str],
    by_form: Mapping[str, str],
    known: Mapping[str, str],
) -> tuple[str, str, str]:
    """The checked sample, decision and new label of a row."""
    written, decision, new = row["sample"], row["decision"], known.get(plain(row["label"]))
    name = written if written in given else by_form.get(plain(written), "")
    where = f"{_said(file)}, sample {written!r}:"
    if name not in given:
        raise InputError(f"{where} the data have no such sample; leave the row out")
    if plain(row["given_label"]) != plain(given[name]):
        raise InputError(
            f"{where} its given_label is {row['given_label']!r}, but the data give it "
            f"{given[name]!r}; use the data and the noise of the reviewed run"
        )
    if decision not in DECISIONS:
        raise InputError(f"{where} the decision must be keep, change or drop, got {decision!r}")
    if decision == "change" and new is None:
        raise InputError(
            f"{where} the label {row['label']!r} is not a class; the classes are "
            f"{some(list(known.values()))}"
        )
    if decision != "change" and row["label"] and new != given[name]:
        raise InputError(
            f"{where} the decision {decision} has the label {row['label']!r}: leave the label "
            "empty, or write change"
        )
    if decision == "change" and new == given[name]:
        raise InputError(f"{where} the label is already {new!r}: write keep, or another label")
    return name, decision, new or ""


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        rows = read_rows(file)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"{_said(file)} cannot be read ({error}); give the corrections.csv that the review "
            "page has saved"
        ) from error
    # A spreadsheet may write a byte order mark.
    rows = [{key.removeprefix("\ufeff"): value for key, value in row.items()} for row in rows]
    if not rows:
        raise InputError(f"{_said(file)} has no decisions: leave data.corrections out")
    missing = [name for name in COLUMNS if name not in rows[0]]
    if missing:
        raise InputError(
            f"{_said(file)} lacks the column {missing[0]}: its first line must name "
            f"{','.join(COLUMNS)}"
        )
    return rows


def _said(file: Path) -> str:
    return f"data.corrections={file}"
