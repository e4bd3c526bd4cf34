"""Given labels in a CSV for folders of images."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from labelnoise.data.image_folder import ImageFolderDataModule
from labelnoise.data.label_table import read_given_labels
from labelnoise.errors import InputError
from labelnoise.noise import SymmetricNoise
from tests.conftest import present
from tests.folders import CLASSES, TRAIN_EACH, make, one_line


def given(name: str, number: int) -> str:
    """Every fifth image is called the class after its own."""
    return CLASSES[(CLASSES.index(name) + (number % 5 == 0)) % 3]


def rows() -> list[str]:
    return [f"{c}/{k}.png,{given(c, k)}" for c in CLASSES for k in range(TRAIN_EACH)]


def write_csv(root: Path, lines: list[str], header: str = "file,label", end: str = "\n") -> Path:
    path = root / "labels.csv"
    path.write_bytes((end.join([header, *lines]) + end).encode())
    return path


@pytest.mark.parametrize("options", [{}, {"per_class": 6}])
def test_a_csv_gives_the_observed_labels_and_folders_the_true_ones(
    root: Path, options: dict[str, Any]
) -> None:
    path = write_csv(root, rows()[::-1])
    data = make(root, labels=path, val_fraction=0.2, truth="folders", **options)
    record = data.noise_record
    assert record.truth == "given"
    assert (record.kind, record.seed, record.rate_requested) == ("csv", None, None)
    assert record.matrix_requested is None
    for split in (data.train, present(data.val)):
        for label, clean, source in zip(
            split.label, split.clean_label, split.source_index, strict=True
        ):
            _, name, number = data.files[int(source)].removesuffix(".png").split("/")
            assert CLASSES[label] == given(name, int(number))
            assert CLASSES[clean] == name
    assert len(record.label) == 3 * options.get("per_class", TRAIN_EACH)
    assert not present(data.test).is_noisy.any()
    if not options:
        assert record.rate_realised == 0.2


@pytest.mark.parametrize("labels", [False, True])
def test_nobody_knows_the_true_labels_unless_the_folders_are_said_to_be_them(
    root: Path, labels: bool
) -> None:
    path = write_csv(root, rows()) if labels else None
    data = make(root, labels=path, val_fraction=0.2)
    assert data.noise_record.truth == "unknown"
    assert not any(
        split.truth_known for split in (data.train, present(data.val), present(data.test))
    )
    trusted = make(root, labels=path, val_fraction=0.2, truth="folders")
    assert trusted.noise_record.truth == ("given" if labels else "made")
    for name in ("train", "val", "test"):
        ours, theirs = getattr(data, name), getattr(trusted, name)
        assert theirs.truth_known and torch.equal(ours.label, theirs.label)
        assert torch.equal(ours.input, theirs.input)
    with pytest.raises(InputError, match="must be one of unknown, folders, got csv") as error:
        make(root, truth="csv")
    one_line(error)


@pytest.mark.parametrize("form", ["numbers", "root", "extra", "spaces", "bom", "windows"])
def test_a_csv_may_be_written_in_other_ways(root: Path, form: str) -> None:
    lines, header, end = rows(), "file,label", "\n"
    if form == "numbers":
        lines = [f"{file},{CLASSES.index(c)}" for file, c in (row.split(",") for row in lines)]
    elif form == "root":
        lines = [f"train/{row}" for row in lines]
    elif form == "extra":
        lines, header = [f"x,{row},y" for row in lines], "who,file,label,when"
    elif form == "spaces":
        lines, header = [row.replace(",", " , ") for row in lines] + [""], "file, label"
    elif form == "bom":
        header = "\ufeff" + header
    elif form == "windows":
        header, end = "\ufeff" + header, "\r\n"
    files = [f"{c}/{k}.png" for c in CLASSES for k in range(TRAIN_EACH)]
    label = read_given_labels(write_csv(root, lines, header, end), files, CLASSES)
    assert [CLASSES[k] for k in label] == [given(c, k) for c in CLASSES for k in range(TRAIN_EACH)]


def test_files_and_classes_are_compared_in_one_unicode_form(root: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "ñu") for form in ("NFC", "NFD"))
    path = write_csv(root, [f"{composed}/é.png,{apart}", "cat/0.png,cat"])
    files = [f"{apart}/{unicodedata.normalize('NFD', 'é')}.png", "cat/0.png"]
    assert read_given_labels(path, files, [composed, "cat"]).tolist() == [0, 1]


def test_numbers_are_said_with_the_classes_that_they_mean(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_csv(root, ["a,0", "b,2"])
    with caplog.at_level(logging.INFO, "labelnoise"):
        read_given_labels(path, ["a", "b"], CLASSES)
    assert f"{path}: labels are read as numbers from 0: '0' is cat, '2' is eel" in caplog.text


def test_one_class_alone_is_refused(root: Path) -> None:
    path = write_csv(root, [f"{c}/{k}.png,dog" for c in CLASSES for k in range(TRAIN_EACH)])
    with pytest.raises(InputError, match="gives all 30 training images one class, 'dog'") as error:
        make(root, labels=path)
    one_line(error)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r[2:], "2 training images without a row, the first is 'cat/0.png'"),
        (lambda r: [*r, r[4], r[4]], "2 files in more than one row, the first is 'cat/4.png'"),
        (lambda r: [*r, f"train/{r[4]}"], "1 files in more than one row, the first is 'train/cat"),
        (
            lambda r: [*r, "ant/0.png,cat"],
            "1 files .* not training images, the first is 'ant/0.png'",
        ),
        (lambda r: [*r[1:], "cat/0.png,ant"], "cat, dog, eel, the first is 'ant' for 'cat/0.png'"),
        (lambda r: [*r[1:], "cat/0.png,3"], "the first is '3' for 'cat/0.png'"),
        (lambda r: [*r[1:], "cat/0.png,1"], "two ways: as class names .* '1' is none, as numbers"),
        (lambda r: [*r[1:], "cat/0.png"], "the first is '' for 'cat/0.png'"),
        (lambda r: [], "30 training images without a row"),
    ],
)
def test_a_csv_that_does_not_fit_the_images(
    root: Path, change: Callable[[list[str]], list[str]], reason: str
) -> None:
    path = write_csv(root, change(rows()))
    with pytest.raises(InputError, match=reason) as error:
        make(root, labels=path)
    assert str(path) in one_line(error)


@pytest.mark.parametrize("header", [rows()[0], "file,label,label", "name,label"])
def test_a_csv_without_a_header(root: Path, header: str) -> None:
    path = write_csv(root, rows()[1:], header=header)
    with pytest.raises(InputError, match=f"begins with '{header}'.*file,label") as error:
        make(root, labels=path)
    one_line(error)


@pytest.mark.parametrize("content", [None, b"", b"file,label\n\xff\xfe,cat\n"])
def test_a_csv_that_cannot_be_read(root: Path, content: bytes | None) -> None:
    path = root / "labels.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="labels.csv") as error:
        make(root, labels=path)
    one_line(error)


def test_noise_on_top_of_given_labels_is_refused_at_once(root: Path) -> None:
    with pytest.raises(InputError, match="noise=symmetric would flip them again") as error:
        ImageFolderDataModule(SymmetricNoise(rate=0.2), root=root, labels="labels.csv")
    assert "noise=none" in one_line(error)
