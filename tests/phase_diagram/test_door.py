"""``python phase_diagram.py``, in processes of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from labelnoise.sweeps.status import state_of
from tests.conftest import but_slow
from tests.phase_diagram.conftest import arrays, assert_alike

ROOT = Path(__file__).resolve().parents[2]
FOUR_PARTS = ("x.points=50", "y.points=40", "steps=50", "test_samples=100", "setting.n=8")


def command(*words: str) -> list[str]:
    return [sys.executable, "phase_diagram.py", *words]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "line"),
    but_slow(
        ("xx=3", "error: xx does not exist, there are: block, blocks, device"),
        ("setting.foo=3", "error: setting.foo does not exist, setting has: d, d_over_n, eta"),
        ("diagram=nothing", "error: diagram=nothing does not exist, choose from: asymmetric_map"),
        ("seeds=abc", "error: seeds must be a whole number, got abc"),
        ("x.points=0", "error: x.points must be a whole number from 1 to 100,000, got 0"),
    ),
)
def test_bad_words_end_in_one_line_and_leave_nothing(tmp_path: Path, words: str, line: str) -> None:
    done = run(*words.split(), f"output_dir={tmp_path}", "name=a")
    assert done.returncode == 1
    assert done.stderr.startswith(line) and done.stderr.count("\n") == 1
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_a_killed_diagram_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    words = (*FOUR_PARTS, f"output_dir={tmp_path}")
    assert run(*words, "name=whole").returncode == 0
    killed = subprocess.Popen(command(*words, "name=a"), cwd=ROOT, stderr=subprocess.PIPE)
    first = tmp_path / "a" / "parts" / "00000.npz"
    deadline = time.monotonic() + 120
    while not first.is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "a" / "diagram.npz").exists()
    before = first.stat().st_mtime_ns
    done = run(*words, "name=a")
    assert done.returncode == 0 and "cells are already finished" in done.stderr
    assert first.stat().st_mtime_ns == before
    assert_alike(tmp_path / "a", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "isolated", "slurm_local"])
def test_a_sweep_over_blocks_joins_itself(tmp_path: Path, launcher: str) -> None:
    """slurm_local runs the jobs as slurm does, on this machine."""
    words = (*FOUR_PARTS, f"output_dir={tmp_path}")
    cluster = f"hydra/launcher={launcher}"
    done = run("-m", cluster, "block=range(0,3)", "blocks=3", "name=a", *words)
    assert done.returncode == 0, done.stderr
    if launcher != "basic":
        assert state_of(tmp_path / "a").counts() == "3 finished"
    assert arrays(tmp_path / "a")["test_error"].shape == (1, 40, 50, 10)
    assert run(*words, "name=whole").returncode == 0
    assert_alike(tmp_path / "a", tmp_path / "whole")
