"""Count the files in a folder that are not read, by reason."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from labelnoise.data.image_files import readable_endings
from labelnoise.errors import InputError
from labelnoise.files.label_words import some

# The reasons for not reading a file: the key in summary.json, and the words in the log.
REASONS = {
    "linked_folder": "links to folders below a class folder",
    "loose": "next to the class folders",
    "ending": "with an ending that cannot be read",
    "hidden": "hidden",
    "dangling_link": "links to missing files",
    "special": "neither file nor folder",
    "system": "left by an operating system or a program",
    "other_splits": "folders next to train and test with the name of a split",
    "repeated_rows": "rows that repeat an image with the same label",
    "unreadable": "that cannot be decoded",
}

# Files of operating systems and programs, in lower case. macOS also writes ._NAME for a file NAME.
SYSTEM_NAMES = {
    ".appledouble", ".directory", ".ds_store", ".fseventsd", ".ipynb_checkpoints", ".picasa.ini",
    ".spotlight-v100", ".temporaryitems", ".thumbnails", ".trashes", "@eadir", "#recycle",
    "$recycle.bin", "@__thumb", "__macosx", "__pycache__", "desktop.ini", "ehthumbs.db", "icon\r",
    "lost+found", "picasa.ini", "system volume information", "thumbs.db",
}  # fmt: skip


@dataclass
class Files:
    """Counts the files that are not read."""

    left_out: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)

    def is_class(self, entry: os.DirEntry[str]) -> bool:
        return self._is(entry, is_folder(entry), "loose")

    def is_image(self, entry: os.DirEntry[str]) -> bool:
        is_read = not is_folder(entry) and self._reason(entry) is None
        return self._is(entry, is_read, "linked_folder")

    def images(self, folder: Path, name: str) -> list[str]:
        """The images in ``folder`` and below it, as ``name/...``."""
        found = []
        for entry in entries_of(folder):
            inner = f"{name}/{entry.name}"
            if is_folder(entry) and not entry.is_symlink() and reason_by_name(entry.name) is None:
                found += self.images(Path(entry.path), inner)
            elif self.is_image(entry):
                found.append(inner)
        return found

    def _is(self, entry: os.DirEntry[str], wanted: bool, otherwise: str) -> bool:
        by_name = reason_by_name(entry.name)
        if wanted and by_name is None:
            return True
        self.leave_out(entry, by_name or otherwise)
        return False

    def leave_out(self, entry: os.DirEntry[str], reason: str) -> None:
        """Count a file, or all files in a folder; a link to a folder counts as one file."""
        if is_folder(entry) and not entry.is_symlink():
            for inner in entries_of(Path(entry.path)):
                self.leave_out(inner, reason_by_name(inner.name) or reason)
            return
        if reason not in ("system", "hidden") and not is_folder(entry):
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


def describe_left_out(left_out: Counter[str], endings: Counter[str]) -> str:
    """The counts by reason in words; empty if nothing was left out.

    Example:
        >>> describe_left_out(Counter(hidden=36, ending=3), Counter({".txt": 2, ".heic": 1}))
        '3 with an ending that cannot be read (.txt 2, .heic 1), 36 hidden'
    """
    parts = []
    for key, words in REASONS.items():
        if left_out[key]:
            shown = some([f"{end} {n}" for end, n in endings.most_common()], most=5)
            parts.append(f"{left_out[key]} {words}{f' ({shown})' if key == 'ending' else ''}")
    return ", ".join(parts)


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """The files and folders in ``folder``, sorted by name; refuses a folder that cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read ({error.strerror})") from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether the entry is a folder or a link to a folder; False for a circular link."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()
