"""manifest.json: versions and data of a run, and the checksums of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import labelnoise
from labelnoise.errors import InputError
from labelnoise.files.writing import checksum_of, sha256, write_json

# Other versions of these may give other results.
LIBRARIES = ("torch", "torchvision", "pytorch-lightning", "numpy")
_OWN = "sha256"


def versions() -> dict[str, str]:
    """The versions of labelnoise and of the libraries that determine the results of a run."""
    return {"labelnoise": labelnoise.__version__} | _library_versions()


@cache
def _library_versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def changed_versions(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """``NAME A instead of B`` for each name of :func:`versions` with different values."""
    changed = [name for name in ("labelnoise", *LIBRARIES) if a.get(name) != b.get(name)]
    return [f"{name} {a.get(name)} instead of {b.get(name)}" for name in changed]


class Manifest:
    """The manifest of a run directory; its sections map names to plain values.

    ``versions``: of labelnoise and of :data:`LIBRARIES`. ``data``: a fingerprint for each option
    that names files. ``files``: the SHA-256 of each file, by its path in the directory.
    ``checkpoints``: the step of each checkpoint, by its SHA-256. ``threads``: the ``count`` of
    threads, for a run with threads=null. The manifest has a checksum of itself.

    A checksum is written before its file. A file with another checksum is damaged. A missing file
    was not finished or was removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "manifest.json"

    def exists(self) -> bool:
        return self.path.is_file()

    def section(self, name: str) -> dict[str, Any]:
        """A section; empty if it was not written.

        Raises:
            InputError: the manifest is damaged.
        """
        return dict(self._read().get(name, {})) if self.exists() else {}

    def update(self, **sections: Mapping[str, Any]) -> None:
        """Replace whole sections; the other sections do not change."""
        contents = (self._read() if self.exists() else {}) | sections
        write_json(self.path, sealed(contents))

    def add_files(self, checksums: Mapping[Path, str]) -> None:
        """Add files of the directory with their SHA-256."""
        named = {self._name(file): checksum for file, checksum in checksums.items()}
        self.update(files=self.section("files") | named)

    def check(self, *files: Path) -> None:
        """Compare files with their checksums; files without a checksum pass.

        Raises:
            InputError: a file is missing or has another checksum.
        """
        known = self.section("files")
        for file in files:
            expected = known.get(self._name(file))
            if expected is None:
                continue
            if not file.is_file():
                raise InputError(f"{file} is missing: {_ADVICE}")
            if sha256(file) != expected:
                raise InputError(
                    f"{file} is damaged: its checksum differs from {self.path}: {_ADVICE}"
                )

    def files(self) -> list[Path]:
        """The files with a checksum."""
        return [self.folder / name for name in self.section("files")]

    def _name(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix()

    def _read(self) -> dict[str, Any]:
        try:
            contents = unsealed(json.loads(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(f"{self.path} is damaged ({error}): {_ADVICE}") from error
        return dict(contents)


_ADVICE = "choose another name=, or write rerun=true to compute the run again"


def sealed(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with a checksum of them."""
    return {**contents, _OWN: checksum_of(contents)}


def unsealed(contents: Mapping[str, Any]) -> dict[str, Any]:
    """The values in the result of :func:`sealed`.

    Raises:
        KeyError: there is no checksum.
        ValueError: the values have another checksum.

    Example:
        >>> unsealed(sealed({"a": 1}))
        {'a': 1}
    """
    own, values = contents[_OWN], {key: contents[key] for key in contents if key != _OWN}
    if own != checksum_of(values):
        raise ValueError("its checksum differs")
    return values
