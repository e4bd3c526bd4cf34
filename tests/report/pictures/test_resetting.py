from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from labelnoise.learner.history import History
from labelnoise.report.loaded import LoadedRun
from labelnoise.report.pictures.resetting import draw_resetting
from labelnoise.report.pictures.style import ALL
from labelnoise.report.tables.settings import by_setting
from labelnoise.run_directory import RunDirectory


def run(corrected: float, techniques: dict[str, Any], rate: float = 0.2) -> LoadedRun:
    rows = {
        step: {"train/wrong_corrected": corrected, "train/wrong_memorized": 0.2, "test/acc": 0.75}
        for step in (10, 20)
    }
    config = {"noise_rate": rate, "noise": {"rate": rate}, "technique": techniques}
    summary = {"techniques": techniques}
    return LoadedRun(RunDirectory(Path("x")), summary, History(rows), config)


def reset(r: float) -> dict[str, Any]:
    return {"stochastic_reset": {"r": r}}


def test_a_column_a_setting_and_a_line_a_rate_in_its_colour() -> None:
    runs = [
        run(0.0, {}),
        run(0.1, reset(0.0)),
        run(0.2, reset(0.01)),
        run(0.3, reset(0.01), 0.4),
    ]
    settings = by_setting(runs, lambda run: run.config, ("technique",))
    assert {name: len(members) for name, members in settings.items()} == {
        "noise_rate=0.2": 3, "noise_rate=0.4": 1,
    }  # fmt: skip
    figure = draw_resetting(settings)
    assert figure is not None
    left, right = figure.axes[:2]
    heights = [(np.asarray(line.get_ydata()), line.get_color()) for line in left.lines]
    drawn = {height[0]: color for height, color in heights if len(height)}
    assert list(drawn) == [0.05, 0.2]  # plain training and r = 0 are one
    assert drawn[0.05] == ALL != drawn[0.2] == right.lines[0].get_color()
    np.testing.assert_array_equal(figure.axes[4].lines[0].get_ydata(), [0.25, 0.25])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["plain", "r = 0.01"]


def test_it_is_drawn_where_some_runs_reset_and_no_other_technique_acts() -> None:
    assert draw_resetting({}) is None
    assert draw_resetting({"all runs": [run(0.1, {}), run(0.1, reset(0.0))]}) is None
    assert draw_resetting({"all runs": [run(0.1, reset(0.1)), run(0.1, {"gce": {}})]}) is None
