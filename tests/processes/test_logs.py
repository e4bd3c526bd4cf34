"""The log of a run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from labelnoise.processes.logs import logging_to


def test_a_full_disk_costs_lines_of_the_log_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_to(Path("/dev/full")):
        logging.getLogger("labelnoise").info("a line")
    assert capsys.readouterr().err == "a line\n"
