from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_faults_end_with_the_same_bits_or_a_refusal(tmp_path: Path) -> None:
    """A short form of `make faults`: each kind of fault at least once."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--count", "20", "--seed", "1"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 of 20 faults ended with the same bits or a refusal in one line" in done.stdout
