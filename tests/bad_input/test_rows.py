"""Every row of the table ends with one line that has the wrong value and the remedy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_input.harness import DOORS, Row, call, drop_capabilities, warm_up
from tests.bad_input.table import JOBS, ROWS
from tests.bad_input.world import make_world

ROOT = Path(__file__).resolve().parents[2]
# Rows for the fast tests: one for each door. All other rows are slow tests.
FAST = {"sed=1", "folds=1", "x.points=0", "figures nothing"}
World = Callable[[], Path]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warm_up()
    folder = tmp_path_factory.mktemp("bad_input") / "world"
    make_world(folder)
    return folder


def test_every_row_says_its_value_and_its_cure() -> None:
    assert len(ROWS) >= 200
    assert len({(row.door, row.before, row.words) for row in ROWS}) == len(ROWS)
    assert [row for row in ROWS if not row.value or not row.cure] == []
    assert {row.door for row in ROWS} == set(DOORS)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=[f"{row.door} {row.words[:80]}" for row in ROWS])
def test_wrong_input_ends_with_one_line(row: Row, world: Path) -> None:
    ended = call(row.door, row.typed, world)
    assert ended.faults(row) == [], ended.stderr


def test_a_right_command_is_no_bad_input(tmp_path: Path) -> None:
    """A harness that calls nothing would find no fault."""
    warm_up()
    (tmp_path / "world" / "home").mkdir(parents=True)
    row = Row("report", "--help", "value", "cure")
    faults = call(row.door, row.typed, tmp_path / "world").faults(row)
    assert faults[0] == "exit status 0" and "the line has no 'cure'" in faults


@pytest.mark.slow
@pytest.mark.parametrize("row", JOBS, ids=[f"{row.door} {row.words}" for row in JOBS])
def test_a_wrong_job_ends_the_sweep_with_an_error(row: Row, tmp_path: Path) -> None:
    """In processes of their own: the right jobs finish, and the sweep names the wrong ones."""
    done = subprocess.run(
        [sys.executable, str(ROOT / DOORS[row.door][0]), *row.typed],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        preexec_fn=drop_capabilities,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: 1 job of the sweep did not finish")
    assert row.value in done.stderr and row.cure in done.stderr
    assert not any(word in done.stderr + done.stdout for word in ("Traceback", "Warning"))
