"""All rows."""

from __future__ import annotations

from tests.bad_input import doors, runs

ROWS = [*runs.ROWS, *doors.ROWS]
