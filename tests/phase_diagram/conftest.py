"""Diagrams small enough for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from labelnoise.phase_diagram.config import check, compose
from labelnoise.phase_diagram.run import phase_diagram

SMALL = (
    "x.points=4",
    "y.points=3",
    "seeds=2",
    "steps=30",
    "test_samples=50",
    "setting.n=6",
    "setting.m=2",
)
Draw = Callable[..., dict[str, Any]]


@pytest.fixture
def diagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Compute a small diagram in tmp_path/NAME, in parts of two cells."""
    monkeypatch.setattr("labelnoise.phase_diagram.compute.RUNS_OF_A_PART", (4, 4))

    def run(name: str, *words: str) -> dict[str, Any]:
        cfg = compose([*SMALL, *words, f"output_dir={tmp_path}", f"name={name}"])
        check(cfg)
        return phase_diagram(cfg, tmp_path / name)

    return run


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty picture: a real one takes longer than the rest of a small diagram."""
    monkeypatch.setattr("labelnoise.phase_diagram.run.draw", lambda *_: Figure())


def arrays(path: Path) -> dict[str, Any]:
    """All of diagram.npz."""
    with np.load(path / "diagram.npz", allow_pickle=False) as file:
        return dict(file)


def assert_alike(one: Path, two: Path) -> None:
    """Two diagrams are the same, bit for bit."""
    first, second = arrays(one), arrays(two)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)
