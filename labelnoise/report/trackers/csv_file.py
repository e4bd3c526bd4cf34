"""``logger=csv``: a table of the metrics that grows while the run trains."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelnoise.files.tables import write_rows
from labelnoise.report.trackers.tracker import Tracker, numbers


class CsvFile(Tracker):
    """Lightning's CSVLogger in the folder ``csv`` of the run, with a row for each step.

    A resumed run writes the table anew, from the metrics in its checkpoint.
    """

    taken = ("save_dir", "name", "version", "prefix")

    def arguments(self) -> dict[str, Any]:
        shutil.rmtree(self.run.csv, ignore_errors=True)
        return {"save_dir": str(self.run.path), "name": "", "version": self.run.csv.name}

    def _finish(self, summary: Mapping[str, Any], figures: Mapping[str, Path]) -> None:
        found = numbers(summary).items()
        rows = ({"name": name.removeprefix("summary/"), "value": value} for name, value in found)
        write_rows(self.run.csv / "summary.csv", ("name", "value"), rows)
