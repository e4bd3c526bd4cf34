"""python -m tests.faults --count 200 (make faults): cause faults, and print a table of outcomes."""

from __future__ import annotations

import argparse
import gc
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from tempfile import mkdtemp

import torch

from labelnoise.sweeps.crews import MODULES
from tests.faults.doors import DOORS, Case, Door, Undisturbed, make_images, undisturbed
from tests.faults.kinds import KINDS, Kind, is_busy
from tests.faults.mounts import can_mount
from tests.faults.process import (
    TIME_LIMIT,
    Outcome,
    adopt_orphans,
    import_all,
    reap_orphans,
    wait_for_orphans,
)
from tests.faults.results import different, results

ENDS = ("same bits", "refused", "wrong")


def fault(number: int, seed: int, door: Door, kind: str, whole: Undisturbed) -> str:
    """Cause a fault, print a line, and return one of :data:`ENDS`."""
    draw = random.Random(f"{seed}/{number}")
    case = Case(door, Path(f"fault-{number:03}"), draw, whole.seconds)
    started = time.monotonic()
    try:
        end, reason = inject(case, KINDS[kind], whole)
        wait_for_orphans()
    except TimeoutError as error:
        end, reason = "wrong", str(error)
    seconds = time.monotonic() - started
    print(f"{number} {door.name}, {kind} ({case.hit}): {end} in {seconds:.1f} s", flush=True)
    if end == "wrong":
        print(reason, flush=True)
    else:
        shutil.rmtree(case.folder, ignore_errors=True)
    return end


def inject(case: Case, kind: Kind, whole: Undisturbed) -> tuple[str, str]:
    """Cause a fault, and give the command until it ends.

    Returns:
        One of :data:`ENDS`, and the reason for "wrong".
    """
    with kind.disturb(case):
        if case.wrong:
            return "wrong", f"the disturbed command: {case.wrong}"
        if case.draw.random() < 0.5:
            wait_for_orphans()
        outcome = _until_the_end(case)
        if outcome.status == 0:
            if other := different(results(case.run), whole.results):
                return "wrong", f"exit 0 with other results: {', '.join(other)}"
            return "same bits", ""
        if case.target and outcome.is_one_line_refusal:
            named = str(case.target) in outcome.stderr
            return ("refused", "") if named else ("wrong", f"names another file: {outcome}")
        return "wrong", str(outcome)


def _until_the_end(case: Case) -> Outcome:
    """Give the command again while processes of the killed command still save their work."""
    until = time.monotonic() + TIME_LIMIT
    while True:
        reap_orphans()
        outcome = case.start().end()
        if not is_busy(outcome) or time.monotonic() > until:
            return outcome
        time.sleep(0.1)


def faults(names: Sequence[str], draw: random.Random) -> list[tuple[Door, str]]:
    """The pairs of a door and a kind of fault: every kind with one door, then with another one."""
    columns = []
    for name in names:
        doors = [door for door in DOORS if door.has_children or not KINDS[name].needs_children]
        columns.append([(door, name) for door in draw.sample(doors, len(doors))])
    return [pair for row in zip_longest(*columns) for pair in row if pair is not None]


def print_table(title: str, names: Sequence[str], ends: Counter[tuple[str, str]]) -> None:
    """Print the number of each outcome for each name."""
    print(f"\n{title:18}" + "".join(f"{end:>11}" for end in ENDS))
    for name in names:
        print(f"{name:18}" + "".join(f"{ends[name, end]:11}" for end in ENDS))


def main(count: int, seed: int, only: int | None) -> int:
    """Cause ``count`` faults, print a table, and return the number of wrong outcomes."""
    torch.set_num_threads(1)
    make_images(Path("images"))
    adopt_orphans()
    import_all(MODULES)
    whole = {door.name: undisturbed(door) for door in DOORS}
    for name, result in whole.items():
        print(f"{name}: {len(result.results)} files in {result.seconds:.1f} s", flush=True)
    gc.freeze()  # the forks share the memory
    names = [name for name, kind in KINDS.items() if can_mount() or not kind.needs_mount]
    for name in KINDS.keys() - names:
        print(f"skipped, because this process may not mount: {name}")
    pairs = faults(names, random.Random(seed))
    ends: Counter[tuple[str, str]] = Counter()
    for number in range(count) if only is None else [only]:
        door, kind = pairs[number % len(pairs)]
        end = fault(number, seed, door, kind, whole[door.name])
        ends.update([(kind, end), (door.name, end)])
    print_table("fault", names, ends)
    print_table("command", [door.name for door in DOORS], ends)
    total = sum(ends[kind, end] for kind in names for end in ENDS)
    wrong = sum(ends[kind, "wrong"] for kind in names)
    print(f"\n{total - wrong} of {total} faults ended with the same bits or a refusal in one line")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of the only fault to cause")
    parser.add_argument("--keep", action="store_true", help="keep the folders of wrong outcomes")
    options = parser.parse_args()
    home, folder = Path.cwd(), Path(mkdtemp(prefix="faults-"))
    try:
        os.chdir(folder)
        status = int(main(options.count, options.seed, options.only) > 0)
    finally:
        gc.unfreeze()
        os.chdir(home)
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)
