"""Every row of the table ends with one line that has the wrong value and the remedy."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from labelnoise.config.own_parts import config_dir_of, own_config_dir
from tests.bad_input.harness import DOORS, Ended, Row, drop_capabilities
from tests.bad_input.table import JOBS, ROWS

ROOT = Path(__file__).resolve().parents[2]


def test_every_row_says_its_value_and_its_cure() -> None:
    assert len(ROWS) >= 200
    assert len({(row.door, row.before, row.words) for row in ROWS}) == len(ROWS)
    assert [row for row in ROWS if not row.value or not row.cure] == []
    assert {row.door for row in ROWS} == set(DOORS)


@pytest.mark.slow
def test_wrong_input_ends_with_one_line() -> None:
    """In a process of its own, where nothing checks types or has started a server of jobs."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bad_input"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    wrong = [lines[i - 2 : i + 1] for i, line in enumerate(lines) if "WRONG" in line]
    assert wrong == []
    assert f"{len(ROWS)} of {len(ROWS)} wrong inputs ended with one clear line" in lines
    assert done.returncode == 0


def test_each_kind_of_fault_is_seen() -> None:
    row = Row("run", "seed=x", "got x", "a whole number")
    right = Ended(1, "", "error: seed must be a whole number, got x\n", [])
    assert right.faults(row) == []
    for change in (
        {"status": 0},
        {"stderr": ""},
        {"stderr": "error: seed must be a whole number, got y\n"},
        {"stderr": "error: wrong seed, got x\n"},
        {"stderr": f"UserWarning: x\n{right.stderr}"},
        {"stderr": f"{right.stderr}{right.stderr}"},
        {"stdout": "Traceback (most recent call last)"},
        {"changed": ["out/summary.json"]},
    ):
        assert replace(right, **change).faults(row) != [], change


def test_a_command_may_have_no_words() -> None:
    with config_dir_of([]):
        assert own_config_dir() is None


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
