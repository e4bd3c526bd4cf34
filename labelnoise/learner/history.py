"""What a run measured, step by step: the one source of metrics.csv, figures and summary.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from labelnoise.csv_files import read_rows, write_rows


class History:
    """Metrics by step; several records of one step are one row.

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
        """Add ``metrics`` to the row of ``step``; a repeated name is replaced."""
        self.rows.setdefault(step, {}).update(metrics)

    def series(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps (T,) int64 and values (T,) float64 of one metric; empty where it was never seen."""
        points = [(step, row[name]) for step, row in sorted(self.rows.items()) if name in row]
        steps = np.array([step for step, _ in points], dtype=np.int64)
        return steps, np.array([value for _, value in points], dtype=np.float64)

    def at(self, name: str, step: int) -> float:
        """The value at exactly ``step``; NaN where it was not measured."""
        return self.rows.get(step, {}).get(name, math.nan)

    @property
    def names(self) -> list[str]:
        """Every metric's name, in alphabetical order."""
        return sorted({name for row in self.rows.values() for name in row})

    def write_csv(self, path: Path) -> None:
        """Write one row a step, empty where a metric was not measured, replacing ``path`` whole."""
        rows = ({"step": step, **row} for step, row in sorted(self.rows.items()))
        write_rows(path, ["step", *self.names], rows)

    @classmethod
    def read_csv(cls, path: Path) -> History:
        """Read what :meth:`write_csv` wrote."""
        return cls(
            {
                int(row.pop("step")): {k: float(v) for k, v in row.items() if v != ""}
                for row in read_rows(path)
            }
        )
