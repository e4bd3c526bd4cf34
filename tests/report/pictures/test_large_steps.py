from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from labelnoise.learner.history import History
from labelnoise.report.loaded import LoadedRun
from labelnoise.report.pictures.large_steps import draw_large_steps
from labelnoise.run_directory import RunDirectory


def run(rate: float, seed: int, memorized_step: int | None, active: float = 0.3) -> LoadedRun:
    stages = {"clean_fit_step": 10, "crossing_step": None, "memorized_step": memorized_step}
    final = {"train/memorized_fraction": 0.5, "test/acc": 0.9, "train/acc_clean": 1.0}
    return LoadedRun(
        directory=RunDirectory(Path()),
        history=History({0: {"features/active_share": 0.5}, 60: {"features/active_share": active}}),
        summary={"overrides": [], "stages": stages, "final": final},
        config={"optimizer": {"lr": rate}, "seed": seed},
    )


def test_lines_are_means_over_seeds_and_dots_are_runs() -> None:
    runs = [run(1.0, 0, 300, 0.2), run(1.0, 1, None, 0.4), run(0.1, 0, 500), run(0.1, 1, 700)]
    figure = draw_large_steps(runs)
    assert figure is not None
    stages, features, errors = figure.axes
    memorized = next(line for line in stages.lines if line.get_label() == "memorized")
    np.testing.assert_array_equal(memorized.get_xydata(), [[0.1, 600], [1.0, 300]])
    np.testing.assert_allclose(np.asarray(features.lines[0].get_xydata()), [[0.1, 0.3], [1.0, 0.3]])
    assert len(np.asarray(features.lines[1].get_xydata())) == 4
    error = next(line for line in errors.lines if line.get_label() == "test error, clean labels")
    np.testing.assert_allclose(np.asarray(error.get_ydata()), 0.1)
    assert all(panel.get_xscale() == "log" for panel in figure.axes)


def test_other_sweeps_have_no_such_figure() -> None:
    assert draw_large_steps([run(1.0, 0, 300), run(1.0, 1, 300)]) is None
    unwatched = dataclasses.replace(run(0.1, 0, 300), history=History())
    assert draw_large_steps([run(1.0, 0, 300), unwatched]) is None
    assert draw_large_steps([]) is None
