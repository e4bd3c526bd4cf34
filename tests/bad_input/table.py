"""All rows."""

from __future__ import annotations

from dataclasses import replace

from tests.bad_input import doors, generated, runs
from tests.bad_input.harness import rows
from tests.bad_input.runs import THEORY

# Right words before a generated row, so that a value that is accepted ends quickly.
BEFORE = {"run": THEORY, "audit": doors.IMAGE_AUDIT, "map": doors.TINY_MAP}

ROWS = [
    *runs.ROWS,
    *doors.ROWS,
    *(
        replace(row, before=BEFORE[row.door])
        for row in (*generated.choices(), *generated.numbers())
    ),
]

# Sweeps with one wrong job among right ones.
JOBS = [
    *rows("run", {"-m seed=0,-1": "got -1 | at least 0"}, THEORY),
    *rows("map", {"-m steps=10,0": "got 0 | at least 1"}, doors.TINY_MAP),
]
