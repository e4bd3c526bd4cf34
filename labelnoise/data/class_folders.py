"""Find images in class folders: the class is the folder below the folder of a split."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from labelnoise.data.left_out import Files, describe_left_out, entries_of, is_folder
from labelnoise.errors import InputError
from labelnoise.files.label_words import plain, some

# Names of folders, in lower case, that are splits and no classes.
SPLIT_NAMES = {
    "dev", "eval", "extra", "holdout", "test", "testing", "train", "training", "val", "valid",
    "validation",
}  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """The images in a folder of class folders, and the files left out.

    Attributes:
        class_names: K names.
        files: n files as ``CLASS/name`` or ``CLASS/sub/name``, sorted folder by folder.
        label: (n,) int64, the class of each file.
        left_out: number of files that are not read, by the keys of ``REASONS``.
        endings: number of files that are left out for their ending, by ending.
    """

    class_names: list[str]
    files: list[str]
    label: Int[Tensor, " n"]
    left_out: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)


def list_images(folder: Path, class_names: Sequence[str] | None = None) -> Listing:
    """Find the images in ``folder/CLASS/`` and in all folders below it.

    Hidden folders and folders of operating systems or programs are not read. Links to files and
    to class folders are followed, links to folders below a class folder are not. Names are compared
    in Unicode's composed form.

    Args:
        folder: has one sub-folder for each class.
        class_names: the allowed classes; None allows all.

    Raises:
        InputError: there is no folder or no class folder, a class has no images or is not allowed,
            or a name cannot be used.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; put the images into {folder}/CLASS/")
    count = Files()
    classes = [entry for entry in entries_of(folder) if count.is_class(entry)]
    found = [plain(entry.name) for entry in classes]
    if not found:
        raise InputError(_without_classes(folder))
    names = found if class_names is None else list(class_names)
    _check_names(folder, found, names)
    numbers = {name: k for k, name in enumerate(names)}
    files, label, empty = [], [], []
    for entry, name in zip(classes, found, strict=True):
        images = count.images(Path(entry.path), entry.name)
        if not images:
            empty.append(name)
        files += images
        label += [numbers[name]] * len(images)
    if empty:
        why = describe_left_out(count.left_out, count.endings)
        raise InputError(
            f"{folder} has class folders without images (files that end in .png, .jpg and so on): "
            f"{some(empty)}; left out: {why or 'nothing'}; add images or remove the folders"
        )
    check_letters(folder, files)
    return Listing(list(names), files, torch.tensor(label), count.left_out, count.endings)


def _without_classes(folder: Path) -> str:
    advice = f"{folder} has no class folders; put the images into {folder}/CLASS/"
    flat = sum(Files().is_image(entry) for entry in entries_of(folder))
    if not flat:
        return advice
    return (
        f"{advice}, or write data=image_table data.table=labels.csv data.root={folder} if a table "
        f"has the labels of these {flat} images"
    )


def split_folders(root: Path) -> tuple[Path, Path | None]:
    """The folders of the training and of the test images; None if there are no test images.

    They are ``root/train`` and ``root/test``. If there is no ``root/train``, ``root`` itself has
    the class folders of the training images.

    Raises:
        InputError: there is no folder ``root``, or without ``root/train`` a folder in it has the
            name of a split.
    """
    if not root.is_dir():
        raise InputError(f"there is no folder {root}; put the images into {root}/train/CLASS/")
    train, test = root / "train", root / "test"
    if train.is_dir():
        return train, test if test.is_dir() else None
    named = [e.name for e in entries_of(root) if is_folder(e) and e.name.lower() in SPLIT_NAMES]
    if named:
        raise InputError(
            f"{root} has no folder train, but {some(named)}: rename the folder of training images "
            "to train and the folder of test images to test; if these are classes, put all class "
            f"folders into {root}/train/"
        )
    return root, None


def left_out_of_root(root: Path) -> Counter[str]:
    """Number of images, and of folders named like a split, next to ``train`` and ``test``."""
    count, left_out = Files(), Counter[str]()
    for entry in entries_of(root):
        if is_folder(entry):
            is_read = entry.name in ("train", "test")
            left_out["other_splits"] += not is_read and entry.name.lower() in SPLIT_NAMES
        else:
            left_out["loose"] += count.is_image(entry)  # other files, such as tables, are fine
    return +left_out


def _check_names(folder: Path, found: Sequence[str], names: Sequence[str]) -> None:
    twice = [name for name, times in Counter(found).items() if times > 1]
    if twice:
        raise InputError(
            f"{folder} has two class folders with names that look the same ('{twice[0]}'); rename "
            "one of them"
        )
    unknown = [name for name in found if name not in names]
    if unknown:
        raise InputError(
            f"{folder} has {len(unknown)} of {len(found)} classes without training images, "
            f"the first is '{unknown[0]}'; the classes are {some(names)}"
        )


def check_letters(folder: Path, files: Iterable[str]) -> None:
    """Refuse file names that a table cannot contain."""
    # Bytes that are not UTF-8 become lone surrogates (Cs); a line break is a control letter (Cc).
    wrong = [f for f in files if {unicodedata.category(letter) for letter in f} & {"Cs", "Cc"}]
    if wrong:
        raise InputError(
            f"{folder} has {len(wrong)} files with names that are not UTF-8 or contain control "
            f"characters, the first is {wrong[0]!a}; rename them"
        )
