"""Find the files that a table names: backslashes, and names in another Unicode form."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

from labelnoise.files.label_words import plain
from labelnoise.files.tables import unescape


class ImagePaths:
    """Looks up names below a folder; each folder is listed once.

    Args:
        root: the folder.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     Path(folder, "cat").mkdir()
        ...     Path(folder, "cat", "1.png").touch()
        ...     paths = ImagePaths(Path(folder))
        ...     paths.find(".\\\\cat\\\\1.png"), paths.find("cat/2.png"), paths.find("cat")
        ('cat/1.png', None, None)
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[str, dict[str, str]] = {}

    def find(self, name: str) -> str | None:
        """The file of this name as ``folder/file`` in the spelling of the disk; None if missing."""
        if not name:
            return None
        # As in our own CSV files, a name may have an apostrophe before it.
        for written in dict.fromkeys((name, name.replace("\\", "/"), unescape(name))):
            path = posixpath.normpath(written)
            if os.path.isfile(self.root / path):
                return path
            if (found := self._by_form(path)) is not None:
                return found
        return None

    def _by_form(self, path: str) -> str | None:
        """The file with this name in the composed form of Unicode."""
        place = "/" if path.startswith("/") else ""
        for part in filter(None, path.split("/")):
            actual = part if part == ".." else self._names(place).get(plain(part))
            if actual is None:
                return None
            place = posixpath.join(place, actual)
        return place if os.path.isfile(self.root / place) else None

    def _names(self, folder: str) -> dict[str, str]:
        """Maps the composed form of each name in a folder to the name on the disk."""
        if folder not in self._listed:
            try:
                names = os.listdir(self.root / folder)
            except OSError:
                names = []
            self._listed[folder] = {plain(name): name for name in names}
        return self._listed[folder]
