"""Find images in class folders, and count the files that are not read, by reason."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from labelnoise.data.image_files import readable_endings
from labelnoise.errors import InputError
from labelnoise.noise.label_words import plain, some

# The reasons for not reading a file: the key in summary.json, and the words in the log.
REASONS = {
    "nested": "in folders below a class folder",
    "loose": "next to the class folders",
    "ending": "with an ending that cannot be read",
    "hidden": "hidden",
    "dangling_link": "links to missing files",
    "special": "neither file nor folder",
    "system": "left by an operating system or a program",
    "other_splits": "folders next to train and test with the name of a split",
}

# Names of folders next to train and test that count as splits.
SPLIT_NAMES = {"dev", "eval", "extra", "holdout", "val", "valid", "validation"}

# Files of operating systems and programs, in lower case. macOS also writes ._NAME for a file NAME.
SYSTEM_NAMES = {
    ".appledouble", ".directory", ".ds_store", ".fseventsd", ".ipynb_checkpoints", ".picasa.ini",
    ".spotlight-v100", ".temporaryitems", ".thumbnails", ".trashes", "@eadir", "#recycle",
    "$recycle.bin", "@__thumb", "__macosx", "__pycache__", "desktop.ini", "ehthumbs.db", "icon\r",
    "lost+found", "picasa.ini", "system volume information", "thumbs.db",
}  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """The images in a folder of class folders, and the files left out.

    Attributes:
        class_names: K names.
        files: n files as ``CLASS/name``, sorted by class and name.
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
    """Find the images in ``folder/CLASS/``, sorted by class and name.

    Hidden folders and folders of operating systems or programs are not classes. Links to files and
    to class folders are followed. Names are compared in Unicode's composed form.

    Args:
        folder: has one sub-folder for each class.
        class_names: the allowed classes; None allows all.

    Raises:
        InputError: there is no folder or no class folder, a class has no images or is not allowed,
            or a name cannot be used.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; put the images into {folder}/CLASS/")
    try:
        return _list(folder, class_names)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read ({error.strerror})") from error


def _list(folder: Path, class_names: Sequence[str] | None) -> Listing:
    count = _Count()
    classes = [entry for entry in _entries(folder) if count.is_class(entry)]
    found = [plain(entry.name) for entry in classes]
    if not found:
        raise InputError(f"{folder} has no class folders; put the images into {folder}/CLASS/")
    names = found if class_names is None else list(class_names)
    _check_names(folder, found, names)
    files, label, empty = [], [], []
    for entry, name in zip(classes, found, strict=True):
        images = [inner.name for inner in _entries(Path(entry.path)) if count.is_image(inner)]
        if not images:
            empty.append(name)
        files += [f"{entry.name}/{image}" for image in images]
        label += [names.index(name)] * len(images)
    if empty:
        why = describe_left_out(count.left_out, count.endings)
        raise InputError(
            f"{folder} has class folders without images (files that end in .png, .jpg and so on): "
            f"{some(empty)}; left out: {why or 'nothing'}; add images or remove the folders"
        )
    _check_letters(folder, files)
    return Listing(list(names), files, torch.tensor(label), count.left_out, count.endings)


@dataclass
class _Count:
    """Counts the files that are not read."""

    left_out: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)

    def is_class(self, entry: os.DirEntry[str]) -> bool:
        return self._is(entry, _is_dir(entry), "loose")

    def is_image(self, entry: os.DirEntry[str]) -> bool:
        is_read = not _is_dir(entry) and self._reason(entry) is None
        return self._is(entry, is_read, "nested")

    def _is(self, entry: os.DirEntry[str], wanted: bool, otherwise: str) -> bool:
        by_name = reason_by_name(entry.name)
        if wanted and by_name is None:
            return True
        self.leave_out(entry, by_name or otherwise)
        return False

    def leave_out(self, entry: os.DirEntry[str], reason: str) -> None:
        """Count a file, or all files in a folder; a link to a folder counts as one file."""
        if _is_dir(entry) and not entry.is_symlink():
            for inner in _entries(Path(entry.path)):
                self.leave_out(inner, reason_by_name(inner.name) or reason)
            return
        if reason not in ("system", "hidden") and not _is_dir(entry):
            reason = self._reason(entry) or reason
        self.left_out[reason] += 1
        if reason == "ending":
            self.endings[Path(entry.name).suffix.lower() or "none"] += 1

    @staticmethod
    def _reason(entry: os.DirEntry[str]) -> str | None:
        """The reason why a file cannot be an image; None if it can."""
        if entry.is_symlink() and not os.path.exists(entry.path):
            return "dangling_link"
        if not os.path.isfile(entry.path):
            return "special"
        return None if Path(entry.name).suffix.lower() in readable_endings() else "ending"


def reason_by_name(name: str) -> str | None:
    """The reason why a file or folder of this name is ignored; None if it is not ignored.

    Example:
        >>> reason_by_name("Thumbs.db"), reason_by_name(".cache"), reason_by_name("cat")
        ('system', 'hidden', None)
    """
    if name.lower() in SYSTEM_NAMES or name.startswith("._"):
        return "system"
    return "hidden" if name.startswith(".") else None


def left_out_of_root(root: Path) -> Counter[str]:
    """Number of images, and of folders named like a split, next to ``train`` and ``test``."""
    count, left_out = _Count(), Counter[str]()
    for entry in _entries(root):
        if _is_dir(entry):
            left_out["other_splits"] += entry.name.lower() in SPLIT_NAMES
        else:
            left_out["loose"] += count.is_image(entry)  # other files, such as tables, are fine
    return +left_out


def describe_left_out(left_out: Counter[str], endings: Counter[str]) -> str:
    """The counts by reason in words; empty if nothing was left out.

    Example:
        >>> describe_left_out(Counter(nested=36, ending=3), Counter({".txt": 2, ".heic": 1}))
        '36 in folders below a class folder, 3 with an ending that cannot be read (.txt 2, .heic 1)'
    """
    parts = []
    for key, words in REASONS.items():
        if left_out[key]:
            shown = some([f"{end} {n}" for end, n in endings.most_common()], most=5)
            parts.append(f"{left_out[key]} {words}{f' ({shown})' if key == 'ending' else ''}")
    return ", ".join(parts)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


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


def _check_letters(folder: Path, files: Iterable[str]) -> None:
    """Refuse file names that a table cannot contain."""
    # Bytes that are not UTF-8 become lone surrogates (Cs); a line break is a control letter (Cc).
    wrong = [f for f in files if {unicodedata.category(letter) for letter in f} & {"Cs", "Cc"}]
    if wrong:
        raise InputError(
            f"{folder} has {len(wrong)} files with names that are not UTF-8 or contain control "
            f"characters, the first is {wrong[0]!a}; rename them"
        )


def _is_dir(entry: os.DirEntry[str]) -> bool:
    """Whether the entry is a folder or a link to a folder; False for a circular link."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
