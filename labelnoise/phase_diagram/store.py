"""The directory of a diagram: its manifest, its finished parts and its results."""

from __future__ import annotations

import contextlib
import json
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelnoise.config import composition
from labelnoise.errors import InputError
from labelnoise.files.manifest import changed_versions, sealed, unsealed, versions
from labelnoise.files.tables import write_rows
from labelnoise.files.writing import remove_parts, replacing, write_arrays, write_json
from labelnoise.phase_diagram.grid import Grid
from labelnoise.phase_diagram.statistics import over_seeds

Arrays = dict[str, NDArray[Any]]


class Store:
    """The directory of one diagram.

        manifest.json          configuration, its fingerprint, versions, seconds, own checksum
        parts/00000.npz        finished cells
        diagram.npz            axes, and every quantity as (panels, y, x, seeds)
        diagram.csv            a row for each cell: mean, standard deviation and count over seeds
        figures/QUANTITY.png

    Several processes may write parts of one diagram. A part is written completely or not at all.

    Args:
        path: the directory.
        config: the options that determine the numbers, as plain values.
        fingerprint: a hash of ``config``.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], fingerprint: str) -> None:
        self.path, self.config, self.fingerprint = path, config, fingerprint
        self.manifest = path / "manifest.json"
        self.whole = path / "diagram.npz"
        self.table = path / "diagram.csv"
        self.figures = path / "figures"

    def claim(self) -> bool:
        """Start a diagram here or continue the same diagram; True if it starts.

        Raises:
            InputError: the directory has another diagram or other files.
        """
        remove_parts(self.path, self.path / "parts", self.figures)
        if self.manifest.is_file():
            self._refuse_another(self.manifest)
        elif self.path.is_dir() and not all(_is_ours(entry) for entry in self.path.iterdir()):
            raise InputError(
                f"{self.path} is not empty and holds no diagram, because {self.manifest} is "
                "missing: choose another name="
            )
        else:
            self.describe(status="running")
            return True
        return False

    def release(self) -> None:
        """Remove the files of a diagram that could not start, so that another one can."""
        if not any((self.path / "parts").glob("*")):
            self.manifest.unlink(missing_ok=True)
            for folder in (self.path / "parts", self.path):
                with contextlib.suppress(OSError):  # missing or not empty
                    folder.rmdir()

    def describe(self, **more: Any) -> None:
        """Write the manifest."""
        whole = {"config": self.config, "fingerprint": self.fingerprint, "versions": versions()}
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.manifest, sealed(whole | more))

    def part(self, number: int) -> Path:
        return self.path / "parts" / f"{number:05}.npz"

    def write_part(self, number: int, arrays: Arrays) -> None:
        """Write the cells of a part."""
        path = self.part(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, {"fingerprint": self.fingerprint, "number": number, **arrays})

    def read_part(
        self, number: int, shape: tuple[int, int], names: Iterable[str]
    ) -> Arrays | str | None:
        """The quantities of a finished part; None if it is missing, a message if it is damaged."""
        path = self.part(number)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                if str(file["fingerprint"]) != self.fingerprint:
                    return f"{path} belongs to another diagram"
                if int(file["number"]) != number:
                    return f"{path} holds part {int(file['number'])}"
                arrays = {name: file[name] for name in names}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            return f"{path} cannot be read ({type(error).__name__})"
        if any(array.shape != shape for array in arrays.values()):
            return f"{path} holds other cells"
        return arrays

    def check_source(self, other: Path) -> None:
        """Refuse a directory that does not have parts of this diagram.

        Raises:
            InputError: the directory has no diagram or another one.
        """
        if not (other / "manifest.json").is_file():
            raise InputError(
                f"merge: {other} holds no diagram: it has no manifest.json; give the directory of "
                "a diagram"
            )
        self._refuse_another(other / "manifest.json", "leave it out of merge=")

    def take_over(self, other: Path) -> int:
        """Copy the parts of the same diagram from another directory; returns their number."""
        found = [path for path in sorted((other / "parts").glob("*.npz")) if path.stem.isdecimal()]
        for path in found:
            if not self.part(int(path.stem)).is_file():
                self.part(int(path.stem)).parent.mkdir(parents=True, exist_ok=True)
                with replacing(self.part(int(path.stem))) as file:
                    file.write(path.read_bytes())
        return len(found)

    def write_whole(self, grid: Grid, seeds: list[int], arrays: Arrays) -> None:
        """Write diagram.npz and diagram.csv."""
        axes = {"x": grid.x, "y": grid.y} | ({"panels": grid.panels} if grid.panels else {})
        names = {f"{k}_name": np.array(axis.name) for k, axis in axes.items()}
        values = {k: axis.values for k, axis in axes.items()}
        fields = {name: a.reshape(*grid.shape, len(seeds)) for name, a in arrays.items()}
        write_arrays(self.whole, {"seeds": seeds, **names, **values, **fields}, compressed=True)
        self._write_table(grid, arrays)

    def _write_table(self, grid: Grid, arrays: Arrays) -> None:
        """A row for each cell, a column for each axis and three columns for each quantity."""
        columns: dict[str, NDArray[Any]] = {}
        mesh = np.meshgrid(*(axis.values for axis in grid.axes), indexing="ij")
        for axis, values in zip(grid.axes, mesh, strict=True):
            columns[axis.name] = values.ravel()
        for name, array in arrays.items():
            mean, spread, count = over_seeds(array)
            columns |= {f"{name}_mean": mean, f"{name}_std": spread, f"{name}_count": count}
        cells = zip(*(column.tolist() for column in columns.values()), strict=True)
        write_rows(
            self.table, list(columns), (dict(zip(columns, row, strict=True)) for row in cells)
        )

    def _refuse_another(self, manifest: Path, advice: str = "choose another name=") -> None:
        try:
            whole = unsealed(json.loads(manifest.read_text(encoding="utf-8")))
            other, theirs = flat(whole["config"]), dict(whole["versions"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{manifest} is damaged or not of a diagram: {advice}") from None
        changed = composition.changes(flat(self.config), other, _as_text)
        changed += changed_versions(versions(), theirs)
        if changed:
            raise InputError(
                f"{manifest.parent} holds another diagram ({'; '.join(changed)}), and nothing was "
                f"changed there: {advice}"
            )


def _is_ours(entry: Path) -> bool:
    """Whether an entry is from a sweep before its first job, or from another starting job."""
    known = ("multirun.yaml", "parts", ".submitit", "ledger.jsonl")
    return entry.name in known or entry.name.startswith((".manifest.", ".lock", ".ledger", ".job-"))


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every value by its path, with numbers as floats, because 32 and 32.0 are equal.

    Example:
        >>> flat({"x": {"name": "d", "to": 32}, "seeds": 10})
        {'x.name': 'd', 'x.to': 32.0, 'seeds': 10.0}
    """
    return {path: _as_float(value) for path, value in composition.flat(config).items()}


def _as_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _as_float(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_float(item) for item in value]
    return float(value) if type(value) is int else value
