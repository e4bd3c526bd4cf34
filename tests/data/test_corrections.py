"""Corrections of given labels: their file, what they change, and what they leave alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelnoise.data.corrections import COLUMNS, correct, fingerprint_of
from labelnoise.errors import InputError
from labelnoise.files.tables import write_rows
from labelnoise.noise import NoNoise, SymmetricNoise
from labelnoise.noise.record import NoiseRecord
from tests.conftest import present
from tests.folders import make, one_line, write_folders

CLASSES = ("cat", "dog", "=eel")
NAMES = [f"{i}.png" for i in range(6)]
LABEL = torch.tensor([0, 0, 1, 1, 2, 2])
Rows = Sequence[tuple[str, str, str]]


def write(path: Path, rows: Rows, names: Sequence[str], words: Sequence[str]) -> Path:
    """The decisions (sample, decision, label) on samples with these names and labels."""
    labels = dict(zip(names, words, strict=True))
    data = fingerprint_of(names, words)
    cells = [(name, labels.get(name, ""), decision, new, data) for name, decision, new in rows]
    write_rows(path, COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in cells])
    return path


def words_of(label: torch.Tensor) -> list[str]:
    return [CLASSES[k] for k in label.tolist()]


@given(st.lists(st.sampled_from(["", "keep", "drop", *CLASSES]), min_size=6, max_size=6))
def test_each_decision_changes_its_own_sample(
    tmp_path_factory: pytest.TempPathFactory, choices: list[str]
) -> None:
    words = words_of(LABEL)
    rows, expected, kept = [], list(words), [True] * 6
    for i, choice in enumerate(choices):
        if choice in ("keep", "drop"):
            rows.append((NAMES[i], choice, ""))
            kept[i] = choice == "keep"
        elif choice and choice != words[i]:
            rows.append((NAMES[i], "change", choice))
            expected[i] = choice
    if not rows or len({word for word, stays in zip(expected, kept, strict=True) if stays}) < 2:
        return
    file = write(tmp_path_factory.mktemp("c") / "c.csv", rows, NAMES, words)
    corrected = correct([file], NAMES, LABEL, CLASSES)
    assert words_of(corrected.label) == expected and corrected.kept.tolist() == kept
    decided = [decision for _, decision, _ in rows]
    assert corrected.summary([file]) == {
        "files": [str(file)],
        "changed": decided.count("change"),
        "dropped": decided.count("drop"),
        "kept": decided.count("keep"),
    }
    assert torch.equal(LABEL, torch.tensor([0, 0, 1, 1, 2, 2]))


def test_a_second_file_corrects_what_the_first_leaves(tmp_path: Path) -> None:
    first = write(tmp_path / "1.csv", [("0.png", "drop", ""), ("1.png", "change", "dog")], NAMES,
                  words_of(LABEL))  # fmt: skip
    left = words_of(torch.tensor([1, 1, 1, 2, 2]))
    second = write(tmp_path / "2.csv", [("1.png", "change", "=eel")], NAMES[1:], left)
    corrected = correct([first, second], NAMES, LABEL, CLASSES)
    assert corrected.label[corrected.kept].tolist() == [2, 1, 1, 2, 2]
    with pytest.raises(InputError, match="is for other data"):
        correct([second, first], NAMES, LABEL, CLASSES)


def test_an_editor_may_add_a_byte_order_mark_and_an_empty_line(tmp_path: Path) -> None:
    file = write(tmp_path / "c.csv", [("0.png", "drop", "")], NAMES, words_of(LABEL))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes() + b"\r\n")
    assert correct([file], NAMES, LABEL, CLASSES).kept.tolist() == [False, *[True] * 5]


def test_names_are_the_same_in_each_unicode_form(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9.png", "cafe\u0301.png"
    file = write(tmp_path / "c.csv", [(composed, "change", "cow")], [composed, "x"], ["cat", "dog"])
    corrected = correct([file], [apart, "x"], torch.tensor([0, 1]), ["cat", "dog", "cow"])
    assert corrected.label.tolist() == [2, 1]


GIVEN = words_of(LABEL)
GOOD = dict(
    zip(COLUMNS, ("0.png", "cat", "change", "dog", fingerprint_of(NAMES, GIVEN)), strict=True)
)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([GOOD | {"data": "labels-0"}], "is for other data: 1 of 1 rows have the fingerprint"),
        ([GOOD, GOOD], "1 samples in more than one row, the first is '0.png'"),
        ([GOOD | {"sample": "9.png"}], "sample '9.png': the data have no such sample"),
        ([GOOD | {"label": "cow"}], "the label 'cow' is not a class; the classes are cat, dog"),
        ([GOOD | {"label": "cat"}], "the label is already 'cat': write keep"),
        ([GOOD | {"decision": "fix"}], "the decision must be keep, change or drop, got 'fix'"),
        ([GOOD | {"decision": "drop"}], "the decision drop has the label 'dog'"),
        ([GOOD | {"given_label": "dog"}], "its given_label is 'dog', but the data give it 'cat'"),
        ([], "has no decisions: leave data.corrections out"),
        (
            [GOOD | {"sample": name, "given_label": word, "decision": "drop", "label": ""}
             for name, word in zip(NAMES, GIVEN, strict=True)],
            "leaves 0 of 6 samples, in 0 classes: keep samples of two",
        ),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, rows: list, message: str) -> None:
    write_rows(tmp_path / "c.csv", COLUMNS, rows)
    with pytest.raises(InputError, match=message) as error:
        correct([tmp_path / "c.csv"], NAMES, LABEL, CLASSES)
    assert one_line(error).startswith(f"data.corrections={tmp_path / 'c.csv'}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("sample,decision\n0.png,drop\n", "lacks the column given_label: its first line must name"),
        ("sample,decision\n0.png\n", "line 2 has 1 cells for 2 columns"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "c.csv").write_text(content)
    with pytest.raises(InputError, match=message) as error:
        correct([tmp_path / "c.csv"], NAMES, LABEL, CLASSES)
    one_line(error)


def test_corrections_change_no_draw_and_the_record_stays_honest(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "data")
    noise = SymmetricNoise(0.4, seed=3)
    plain = make(root, noise, truth="folders")
    names = plain.sample_names(torch.arange(30))
    words = [str(plain.class_names[k]) for k in plain.noise_record.label.tolist()]
    true = [str(plain.class_names[k]) for k in present(plain.noise_record.clean_label).tolist()]
    noisy = [i for i in range(30) if words[i] != true[i]]
    rows = [(names[i], "change", true[i]) for i in noisy[:-2]] + [(names[noisy[-1]], "drop", "")]
    file = write(tmp_path / "c.csv", rows, names, words)
    data = make(root, noise, truth="folders", corrections=file)

    for part in ("train", "val"):
        before, after = getattr(plain, part), getattr(data, part)
        stays = [i for i, at in enumerate(before.source_index.tolist()) if at != noisy[-1]]
        assert after.source_index.tolist() == before.source_index[stays].tolist()
        assert torch.equal(after.input, before.input[stays])
        assert torch.equal(after.clean_label, before.clean_label[stays])
    assert torch.equal(present(data.test).label, present(plain.test).label)
    assert int(data.train.is_noisy.sum()) + int(present(data.val).is_noisy.sum()) == 1
    record = data.noise_record
    assert record.rate_requested == 0.4 and record.rate_realised == pytest.approx(1 / 29)
    assert record.source_index is not None and noisy[-1] not in record.source_index.tolist()
    assert data.corrected == {
        "files": [str(file)], "changed": len(noisy) - 2, "dropped": 1, "kept": 0
    }  # fmt: skip
    record.save(tmp_path / "noise.npz")
    assert NoiseRecord.load(tmp_path / "noise.npz").fingerprint == record.fingerprint


def test_the_content_of_the_file_is_part_of_the_run(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "data")
    plain = make(root)
    names = plain.sample_names(torch.arange(30))
    words = [str(plain.class_names[k]) for k in plain.noise_record.label.tolist()]
    file = write(tmp_path / "c.csv", [(names[0], "keep", "")], names, words)
    before = make(root, NoNoise(), corrections=[file]).sources()["data.corrections"]
    write(file, [(names[0], "drop", "")], names, words)
    after = make(root, NoNoise(), corrections=[file]).sources()["data.corrections"]
    assert before and after and before != after
    assert "data.corrections" not in plain.sources()
