"""Print every row with its line; see the docstring of the package."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import mkdtemp

from tests.bad_input.harness import call, warm_up
from tests.bad_input.table import ROWS
from tests.bad_input.world import make_world


def main(word: str, folder: Path) -> int:
    """Call the rows that contain the word, and return the number of those that end badly."""
    warm_up()
    make_world(folder)
    wrong = 0
    rows = [row for row in ROWS if word in f"{row.door} {row.words}"]
    for row in rows:
        ended = call(row.door, row.typed, folder)
        faults = ended.faults(row)
        wrong += bool(faults)
        print(f"{row.door}: {row.words}\n    {ended.stderr.strip()}", flush=True)
        for fault in faults:
            print(f"    WRONG: {fault}", flush=True)
    print(f"{len(rows) - wrong} of {len(rows)} wrong inputs ended with one clear line")
    return wrong


if __name__ == "__main__":
    place = Path(mkdtemp(prefix="bad-input-"))
    try:
        sys.exit(main(" ".join(sys.argv[1:]), place / "world") > 0)
    finally:
        shutil.rmtree(place)
