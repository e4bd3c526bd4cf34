"""Images that are found in folders, and messages about the other files."""

from __future__ import annotations

import logging
import os
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from labelnoise.data.class_folders import list_images
from labelnoise.data.left_out import SYSTEM_NAMES
from labelnoise.errors import InputError
from tests.conftest import Run, present
from tests.folders import CLASSES, make, one_line, write_image


def test_images_in_folders_below_a_class_folder_belong_to_the_class(root: Path) -> None:
    for part in ("train", "test"):
        write_image(root / part / "cat" / "2019" / "deep" / "a.png", (1, 2, 3))
        write_image(root / part / "cat" / "2019" / "b.png", (4, 5, 6))
    (root / "train" / "ant" / "all below").mkdir(parents=True)
    write_image(root / "train" / "ant" / "all below" / "c.png")
    data = make(root, val_fraction=0)
    assert data.class_names == ["ant", *CLASSES]
    places = {file: k for k, file in enumerate(data.files)}
    assert data.files == sorted(data.files)
    for file, rgb, label in (
        ("train/cat/2019/deep/a.png", (1, 2, 3), "cat"),
        ("train/cat/2019/b.png", (4, 5, 6), "cat"),
        ("train/ant/all below/c.png", (0, 0, 0), "ant"),
    ):
        assert data.train.input[:][places[file], :, 0, 0].tolist() == list(rgb)
        assert data.class_names[data.train.label[places[file]]] == label
    assert "test/cat/2019/deep/a.png" in data.test_files and len(data.test_files) == 14
    (root / "labels.csv").write_text(
        "file,label\n"
        + "".join(f"{file},eel\n" for file in data.files[:-1])
        + f"{data.files[-1]},ant\n"
    )
    relabelled = make(root, val_fraction=0, labels=root / "labels.csv")
    assert relabelled.train.label[places["train/cat/2019/b.png"]] == data.class_names.index("eel")


def test_without_train_the_root_has_the_classes_and_there_is_no_test(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = make(root, val_fraction=0.2)
    with caplog.at_level(logging.INFO, "labelnoise"):
        data = make(root / "train", val_fraction=0.2)
    assert data.test is None and data.test_files == []
    assert data.files == [file.removeprefix("train/") for file in whole.files]
    for name in ("train", "val"):
        ours, theirs = present(getattr(data, name)), present(getattr(whole, name))
        assert torch.equal(ours.input, theirs.input) and torch.equal(ours.label, theirs.label)
    assert "30 training and no test images in 3 classes; left out: nothing" in caplog.text
    shutil.rmtree(root / "test")
    assert make(root).test is None


def test_other_files_are_passed_over(root: Path) -> None:
    (root / "train" / "notes.txt").write_text("not a class")
    (root / "train" / "cat" / "notes.txt").write_text("not an image")
    (root / "train" / "cat" / ".hidden.png").write_bytes(b"")
    (root / "train" / ".cache").mkdir()
    write_image(root / "train" / "cat" / "photo.JPEG", (1, 2, 3))
    listing = list_images(root / "train")
    assert listing.class_names == list(CLASSES)
    assert listing.files[:11] == [*(f"cat/{k}.png" for k in range(10)), "cat/photo.JPEG"]
    assert listing.label.bincount().tolist() == [11, 10, 10]
    assert listing.left_out == Counter(ending=2, hidden=1)


def clutter(root: Path) -> dict[str, int]:
    """Something of every kind that is not read."""
    train, cat = root / "train", root / "train" / "cat"
    (cat / "empty" / "deep").mkdir(parents=True)
    write_image(cat / "empty" / "deep" / "._2.png")
    write_image(cat / ".thumbs" / "23.png")
    write_image(cat / ".24.png")
    (cat / "25.png.part").write_bytes(b"")
    (cat / "26.txt").write_bytes(b"")
    (cat / "NAME").write_bytes(b"")
    os.symlink(cat / "nowhere.png", cat / "27.png")
    os.symlink("28.png", cat / "28.png")  # leads in a circle
    os.symlink(root, cat / "linked")
    os.symlink(root / "nowhere", train / "fox")
    os.mkfifo(cat / "29.png")
    write_image(train / "30.png")
    write_image(train / "__MACOSX" / "cat" / "._31.png")
    write_image(train / ".ipynb_checkpoints" / "32.png")
    write_image(train / ".git" / "33.png")
    (train / "Thumbs.db").write_bytes(b"")
    (root / "test" / "dog" / ".DS_Store").write_bytes(b"")
    write_image(root / "val" / "34.png")
    write_image(root / "Test" / "cat" / "36.png")
    write_image(root / "35.png")
    (root / "labels.csv").write_text("")
    return {
        "linked_folder": 1,
        "hidden": 3,
        "ending": 3,
        "dangling_link": 3,
        "special": 1,
        "loose": 2,
        "system": 5,
        "other_splits": 2,
    }


def test_all_that_is_not_read_is_counted_by_reason_in_one_line(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = clutter(root)
    with caplog.at_level(logging.INFO, "labelnoise"):
        data = make(root)
    assert data.class_names == list(CLASSES)
    assert len(data.files) == 30
    assert data.left_out == expected
    (record,) = [r for r in caplog.records if "left out" in r.getMessage()]
    assert record.levelno == logging.WARNING
    assert "30 training and 12 test images in 3 classes" in record.getMessage()
    assert "1 links to folders below a class folder" in record.getMessage()
    assert "3 with an ending that cannot be read (.part 1, .txt 1, none 1)" in record.getMessage()


def test_the_summary_holds_the_counts(root: Path, run_images: Run) -> None:
    (root / "train" / "cat" / "notes.txt").write_bytes(b"")
    (root / "test" / "cat" / "Thumbs.db").write_bytes(b"")
    summary = run_images(f"data.root={root}", "max_epochs=1", "monitor=none")
    assert summary["data_left_out"] == {"ending": 1, "system": 1}


def test_folders_without_anything_else_are_no_warning(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "labelnoise"):
        data = make(root)
    assert data.left_out == {}
    (record,) = [r for r in caplog.records if "left out" in r.getMessage()]
    assert (record.levelno, record.getMessage()[-7:]) == (logging.INFO, "nothing")


def test_files_that_are_read_in_part_are_counted_too(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [Image.new("RGB", (8, 8), value) for value in ("red", "blue")]
    frames[0].save(root / "train" / "cat" / "0.gif", save_all=True, append_images=frames[1:])
    with caplog.at_level(logging.INFO, "labelnoise"):
        data = make(root)
    assert data.left_out == {"later_frames": 1}
    assert "1 with several frames, only the first is read" in caplog.text


@pytest.mark.parametrize("name", [*sorted(SYSTEM_NAMES), ".hidden", "._cat"])
def test_droppings_and_hidden_folders_are_no_classes(root: Path, name: str) -> None:
    write_image(root / "train" / name / "0.png")
    assert list_images(root / "train").class_names == list(CLASSES)


def test_links_to_files_and_class_folders_are_followed(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_image(elsewhere / "fox" / "0.png")
    os.symlink(elsewhere / "fox", root / "train" / "fox")
    os.symlink(elsewhere / "fox" / "0.png", root / "train" / "cat" / "30.png")
    listing = list_images(root / "train")
    assert listing.class_names == [*CLASSES, "fox"]
    assert listing.label.bincount().tolist() == [11, 10, 10, 1]
    assert not listing.left_out


def test_names_are_compared_in_one_form(root: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "ñandú") for form in ("NFC", "NFD"))
    assert composed != apart
    write_image(root / "train" / composed / "0.png")
    write_image(root / "test" / apart / "0.png")
    data = make(root, val_fraction=0)
    assert data.class_names[-1] == composed
    assert present(data.test).label[-1] == 3
    write_image(root / "train" / apart / "1.png")
    with pytest.raises(
        InputError, match="two class folders with names that look the same"
    ) as error:
        make(root)
    one_line(error)


def empty_classes(root: Path) -> str:
    (root / "train" / "ant").mkdir()
    write_image(root / "train" / "bee" / ".thumbs" / "0.png")
    (root / "train" / "bee" / ".DS_Store").write_bytes(b"")
    return "without images .*: ant, bee; left out: 1 hidden, 1 left by"


def one_class(root: Path) -> str:
    for part in ("train", "test"):
        for name in ("dog", "eel"):
            (root / part / name).rename(root / f"{part}-{name}")
    return "has one class, 'cat'"


def class_in_test_alone(root: Path) -> str:
    write_image(root / "test" / "fox" / "0.png")
    return "1 of 4 classes without training images, the first is 'fox'"


def renamed_splits(root: Path) -> str:
    (root / "train").rename(root / "Training")
    return "has no folder train, but Training, test: rename the folder of training images"


def flat(root: Path) -> str:
    for part in ("train", "test"):
        (root / part).rename(root / "cats" if part == "train" else root / f"{part}-")
    shutil.rmtree(root / "cats")
    shutil.rmtree(root / "test-")
    write_image(root / "0.png")
    (root / "labels.csv").write_text("")
    return (
        "no class folders; .*, or write data=image_table .* if a table has the labels of these 1 im"
    )


def one_nested_class(root: Path) -> str:
    (root / "train").rename(root / "images")
    shutil.rmtree(root / "test")
    return "has one class, 'images'; .*, or write data.root=.*images if its folders are the classes"


def no_classes(root: Path) -> str:
    (root / "train").rename(root / "elsewhere")
    write_image(root / "train" / "__MACOSX" / "0.png")
    return "train has no class folders"


def no_utf8(root: Path) -> str:
    write_image(root / "train" / "cat" / os.fsdecode(b"\xff.png"))
    return r"1 files with names that are not UTF-8 .* the first is 'cat/\\udcff.png'"


def line_break(root: Path) -> str:
    write_image(root / "train" / "cat" / "a\nb.png")
    return "control characters"


@pytest.mark.parametrize(
    "change",
    [
        empty_classes,
        one_class,
        class_in_test_alone,
        renamed_splits,
        flat,
        one_nested_class,
        no_classes,
        no_utf8,
        line_break,
    ],
)
def test_folders_that_cannot_be_used(root: Path, change: Callable[[Path], str]) -> None:
    reason = change(root)
    with pytest.raises(InputError, match=reason) as error:
        make(root)
    one_line(error)


def test_a_folder_that_may_not_be_read_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="train cannot be read .Permission denied.") as error:
        make(root)
    one_line(error)
