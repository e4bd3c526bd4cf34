"""Images in a table of paths and labels."""

from __future__ import annotations

import json
import logging
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from labelnoise.config.composition import compose
from labelnoise.data.image_table import ImageTableDataModule, names_of_classes, read_true_labels
from labelnoise.errors import InputError
from labelnoise.noise import NoNoise, SymmetricNoise
from labelnoise.training.train import train
from tests.conftest import TINY_IMAGES, but_slow, present
from tests.folders import CLASSES, colour, one_line, write_image

EACH = {"train": 6, "val": 2, "test": 3}


def lines() -> list[str]:
    """A row for each image: its path, given label, split and true label."""
    return [
        f"pictures/{name}_{part}{number}.png,{given(name, number)},{part},{name}"
        for name in CLASSES
        for part, each in EACH.items()
        for number in range(each)
    ]


def given(name: str, number: int) -> str:
    """The first image of each part of a class is called the next class."""
    return CLASSES[(CLASSES.index(name) + (number == 0)) % 3]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for name in CLASSES:
        for part, each in EACH.items():
            for number in range(each):
                path = tmp_path / "pictures" / f"{name}_{part}{number}.png"
                write_image(path, colour(part, name, number))
    return write(tmp_path, lines())


def write(folder: Path, rows: list[str], header: str = "path,label,split,clean") -> Path:
    path = folder / "images.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def make(table: Path, noise: Any = None, **options: Any) -> ImageTableDataModule:
    options = {"image_size": 8, "table": table, **options}
    data = ImageTableDataModule(noise or NoNoise(), **options)
    data.setup("fit")
    return data


def test_paths_labels_splits_and_true_labels_stay_together(table: Path) -> None:
    data = make(table, clean_column="clean", val_fraction=0.5)
    assert (data.noise_record.kind, data.noise_record.truth) == ("table", "given")
    parts = {"train": data.train, "val": present(data.val), "test": present(data.test)}
    for part, split in parts.items():
        assert len(split) == 3 * EACH[part]
        files = data.test_files if part == "test" else data.sample_names(torch.arange(24))
        for image, label, clean, source in zip(
            split.input, split.label, split.clean_label, split.source_index, strict=True
        ):
            stem = Path(files[int(source)]).stem
            name, number = stem[:3], int(stem[-1])
            assert stem == f"{name}_{part}{number}"
            assert image[:, 4, 4].tolist() == list(colour(part, name, number))
            assert (CLASSES[label], CLASSES[clean]) == (given(name, number), name)


def test_without_the_column_of_true_labels_nothing_is_known_or_our_flips_are(
    table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "labelnoise"):
        unknown = make(table)
    assert "'clean' is not used, data.clean_column=clean reads true labels" in caplog.text
    assert (unknown.noise_record.kind, unknown.noise_record.truth) == ("none", "unknown")
    assert not present(unknown.test).truth_known
    trusted = make(table, truth="labels")
    assert trusted.noise_record.truth == "made" and not trusted.train.is_noisy.any()
    flipped = make(table, SymmetricNoise(rate=0.25, seed=0))
    assert int(flipped.noise_record.is_noisy.sum()) == 6
    assert flipped.noise_record.clean_label is not None
    assert torch.equal(flipped.noise_record.clean_label, unknown.noise_record.label)


def test_folds_take_the_place_of_the_split_of_the_table(table: Path) -> None:
    held = [make(table, fold=[k, 3]) for k in range(3)]
    sources = [index for data in held for index in present(data.val).source_index.tolist()]
    assert sorted(sources) == list(range(24))


def composed_forms(folder: Path) -> list[str]:
    """Names on the disk and in the table in different Unicode forms, and backslashes."""
    disk, written = (unicodedata.normalize(form, "ñandú") for form in ("NFD", "NFC"))
    rows = []
    for k, label in enumerate(("año", "día", "año", "día")):
        write_image(folder / disk / f"{disk}{k}.png")
        rows.append(f".\\{written}\\{written}{k}.png,{label}")
    return rows


def test_names_are_matched_in_one_unicode_form_and_with_backslashes(tmp_path: Path) -> None:
    rows = composed_forms(tmp_path)
    rows[0] = unicodedata.normalize("NFD", rows[0])
    data = make(write(tmp_path, rows, "Image,Class"), val_fraction=0)
    assert data.class_names == ["año", "día"] and data.test is None
    assert data.train.label.tolist() == [0, 1, 0, 1]
    assert all((tmp_path / file).is_file() for file in data.files)


def test_numbers_are_names_in_the_order_of_their_values(tmp_path: Path) -> None:
    words = ["10", "02", "1"] * 2
    for k in range(6):
        write_image(tmp_path / f"{k}.png")
    data = make(write(tmp_path, [f"{k}.png,{w}" for k, w in enumerate(words)], "file,label"))
    assert data.class_names == ["1", "02", "10"]
    names = [data.class_names[k] for k in data.noise_record.label]
    assert names == words
    with pytest.raises(
        InputError, match="the same number: '02' and '2'; write each class"
    ) as error:
        names_of_classes(["02", "2", "3"], "t.csv")
    one_line(error)


@pytest.mark.parametrize(
    ("words", "names", "expected"),
    [
        (["1", "2"], ["01", "02"], ["01", "02"]),
        (["1", "2"], ["01", "02", "03"], "can be read in two ways"),
        (["0", "1"], ["cat", "dog"], "must be words of the column of labels: cat, dog"),
        (["1", "0"], ["0", "1"], ["1", "0"]),
        (["ant", "bee"], ["cat", "dog"], "neither a name nor a number"),
        (["cat", "eel"], ["cat", "dog"], ["cat", "eel"]),
        (["1", "02"], ["1", "2"], ["1", "2"]),
        (["0", "1"], ["1", "2"], "has the numbers 0, which are no class of .* labels: 1, 2"),
    ],
)
def test_true_labels_are_words_and_never_positions(
    words: list[str], names: list[str], expected: list[str] | str
) -> None:
    samples = [f"{k}.png" for k in range(len(words))]
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected) as error:
            read_true_labels(words, names, "t.csv", samples)
        one_line(error)
        return
    found, classes = read_true_labels(words, names, "t.csv", samples)
    assert found == expected and set(found) <= set(classes) and set(names) <= set(classes)
    assert classes == names_of_classes(classes, "t.csv")


def test_repeated_rows_are_read_once_and_counted(
    table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = lines()
    write(table.parent, [*rows, rows[3], f"./{rows[4]}"])
    with caplog.at_level(logging.WARNING, "labelnoise"):
        data = make(table)
    assert data.left_out == {"repeated_rows": 2} and len(data.files) == 24
    assert "2 rows that repeat an image with the same label" in caplog.text


def relabelled(rows: list[str]) -> list[str]:
    return [*rows, rows[1].replace(",cat,", ",dog,")]


@pytest.mark.parametrize(
    ("change", "options", "reason"),
    [
        (lambda r: [row.replace("cat_t", "no_t") for row in r], {},
         "names 9 of 33 files that are not below .*: pictures/no_train0.png, pictures/no_train1"),
        (relabelled, {}, "1 images with rows that differ, the first is pictures/cat_train1.png: "
         "'cat' 'train' in line 3, 'dog' 'train' in line 35"),
        (lambda r: [*r, r[1].replace("train,", "test,")], {}, "'cat' 'test' in line 35"),
        (lambda r: [*r[1:], r[0].replace("train,", "holdout,")], {},
         "1 rows with an unknown split, the first is 'holdout' in line 34; the splits are train"),
        (lambda r: [*r[1:], r[0].replace(",dog,", ",,")], {}, "without a word in column 'label', "
         "the first is line 34"),
        (lambda r: [row.replace(",dog,", ",cat,").replace(",eel,", ",cat,") for row in r], {},
         "has one class, 'cat'"),
        (lambda r: [*r[:-1], r[-1].replace(",eel,", ",fox,", 1)], {},
         "1 of 4 classes without training rows, the first is 'fox' in line 34"),
        (lambda r: r, {"label_column": "path"}, "another label in each of 33 rows"),
        (lambda r: r, {"label_column": "who"}, "data.label_column=who is not in .*path, label, sp"),
        (lambda r: [], {}, "has no rows below its first line"),
        (lambda r: r, {"root": "nowhere"}, "there is no folder data.root=nowhere"),
        (lambda r: r, {"table": "nowhere.csv"}, "data.table=nowhere.csv cannot be read"),
        (lambda r: r, {"truth": "folders"}, "data.truth must be one of unknown, labels, got fold"),
        (lambda r: r, {"clean_column": "clean", "truth": "labels"}, "but data.truth=labels takes"),
        (lambda r: r, {"clean_column": "clean", "noise": SymmetricNoise(0.1)},
         "but noise=symmetric takes the labels for true; write noise=none"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used(
    table: Path, change: Callable[[list[str]], list[str]], options: dict[str, Any], reason: str
) -> None:
    write(table.parent, change(lines()))
    with pytest.raises(InputError, match=reason) as error:
        make(**{"table": table, **options})
    one_line(error)


def test_a_table_without_the_usual_columns_names_those_that_it_has(table: Path) -> None:
    write(table.parent, lines(), "where,what,split,clean")
    with pytest.raises(InputError, match="no column path or file .*where, what, split") as error:
        make(table)
    assert "data.path_column=one of them" in one_line(error)
    data = make(table, path_column="where", label_column="what", root=str(table.parent))
    assert len(data.files) == 24


def test_the_fingerprints_follow_the_table_and_the_files(table: Path) -> None:
    def sources() -> dict[str, str | None]:
        return ImageTableDataModule(NoNoise(), table=table).sources()

    before = sources()
    assert set(before) == {"data.root", "data.table"} and None not in before.values()
    write(table.parent, lines()[::-1])
    assert sources()["data.table"] != before["data.table"]
    write(table.parent, lines())
    assert sources() == before
    write_image(table.parent / "pictures" / "cat_train0.png", size=(30, 30))
    assert sources()["data.root"] != before["data.root"]
    (table.parent / "pictures" / "cat_train0.png").unlink()
    assert sources()["data.root"] is None


@pytest.mark.parametrize("output", but_slow((), (("figures=true", "logger=tensorboard"),)))
def test_a_run_on_a_table_without_test_rows(
    table: Path, tmp_path: Path, output: tuple[str, ...]
) -> None:
    write(table.parent, [row for row in lines() if ",test," not in row])
    words = [w for w in TINY_IMAGES if not w.startswith(("data=", "noise"))]
    more = ("monitor=[memorization,dynamics]", "max_epochs=2", *output)
    cfg = compose([*words, "data=image_table", f"data.table={table}", *more])
    summary = train(cfg, tmp_path / "run")
    assert summary["final"]["test/acc"] is None and summary["test_labels"] is None
    assert set(summary["report_card"].values()) == {None}
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["final"]["test/loss"] is None
    header, first = (tmp_path / "run" / "suspects.csv").read_text().splitlines()[:2]
    assert first.split(",")[header.split(",").index("sample")].startswith("pictures/")
