"""The recorded metrics of a run by step; metrics.csv, figures and summary.json are made from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from labelnoise.files.tables import read_rows, write_rows


class History:
    """Metrics by step; several records of one step make one row.

    Example:
        >>> history = History()
        >>> history.record(0, {"train/acc": 0.5})
        >>> history.record(0, {"val/acc": 0.4})
        >>> history.record(10, {"train/acc": 0.9})
        >>> history.series("train/acc")
        (array([ 0, 10]), array([0.5, 0.9]))
        >>> history.at("val/acc", 0)
        0.4
    """

    def __init__(self, rows: Mapping[int, Mapping[str, float]] | None = None) -> None:
        self.rows: dict[int, dict[str, float]] = {
            step: dict(row) for step, row in (rows or {}).items()
        }

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add ``metrics`` to the row of ``step``; a repeated name replaces the value."""
        self.rows.setdefault(step, {}).update(metrics)

    def series(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps (T,) int64 and values (T,) float64 of one metric; empty if never recorded."""
        points = [(step, row[name]) for step, row in sorted(self.rows.items()) if name in row]
        steps = np.array([step for step, _ in points], dtype=np.int64)
        return steps, np.array([value for _, value in points], dtype=np.float64)

    def at(self, name: str, step: int) -> float:
        """The value at exactly ``step``; NaN if it was not measured."""
        return self.rows.get(step, {}).get(name, math.nan)

    @property
    def names(self) -> list[str]:
        """The names of all metrics in alphabetical order."""
        return sorted({name for row in self.rows.values() for name in row})

    def write_csv(self, path: Path) -> None:
        """Write one row for each step to ``path``; a metric that was not measured is empty."""
        rows = ({"step": step, **row} for step, row in sorted(self.rows.items()))
        write_rows(path, ["step", *self.names], rows)

    @classmethod
    def read_csv(cls, path: Path) -> History:
        """Read a file of :meth:`write_csv`."""
        return cls(
            {
                int(row.pop("step")): {k: float(v) for k, v in row.items() if v != ""}
                for row in read_rows(path)
            }
        )
