from __future__ import annotations

import math
from pathlib import Path

from labelnoise.learner.history import History


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    history = History()
    history.record(20, {"train/acc": 0.25})
    history.record(0, {"train/acc": 1 / 3, "val/loss": float("nan")})
    history.record(20, {"val/loss": 2.0})
    history.write_csv(tmp_path / "metrics.csv")
    read = History.read_csv(tmp_path / "metrics.csv")
    assert read.names == ["train/acc", "val/loss"]
    steps, values = read.series("train/acc")
    assert (steps.tolist(), values.tolist()) == ([0, 20], [1 / 3, 0.25])
    assert math.isnan(read.at("val/loss", 0)) and read.at("val/loss", 20) == 2.0
    assert math.isnan(read.at("val/loss", 7))
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
