"""Kill runs, damage their files, fill their disk; then the same command must end as if nothing was.

python -m tests.faults --count 200       (make faults)

After a signal or a full disk, the same command given again must leave the same files bit for bit.
After damage to a file it must do so too, or refuse in one line that names this file and exit with
status 1. Any other outcome is a defect, and the harness then exits with status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import runpy
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.conftest import TINY, TINY_IMAGES, latest

DOOR = Path(__file__).resolve().parents[1] / "run.py"
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
DAMAGES = ("cut", "flipped", "removed")
KINDS = (*SIGNALS, *DAMAGES, "full disk")
# What shows a run and is not read again.
NOT_COMPARED = {"run.log", ".lock", "tensorboard", "figures", "suspects.csv"}
MOST_CALLS = 4


@dataclass(frozen=True)
class Outcome:
    """How one command ended."""

    status: int
    stderr: str

    @property
    def is_one_line_refusal(self) -> bool:
        lines = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        return self.status == 1 and len(lines) == 1 and "Traceback" not in self.stderr


def command(words: list[str], folder: Path, disturb: Callable[[int], None] | None = None,
            limit: int | None = None) -> Outcome:  # fmt: skip
    """Run the door in a forked process, which has imported everything already.

    Args:
        words: of the command line.
        folder: where its output goes.
        disturb: called with the process's number as soon as it runs.
        limit: bytes that a file may have, as where the disk is full.
    """
    log = folder / "stderr"
    pid = os.fork()
    if pid == 0:
        _child(words, log, limit)
    if disturb is not None:
        disturb(pid)
    _, status = os.waitpid(pid, 0)
    return Outcome(os.waitstatus_to_exitcode(status), log.read_text() if log.exists() else "")


def _child(words: list[str], log: Path, limit: int | None) -> None:
    code = 1
    try:
        with log.open("w") as out:
            for stream in (1, 2):
                os.dup2(out.fileno(), stream)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = [str(DOOR), *words]
        runpy.run_path(str(DOOR), run_name="__main__")
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def results(run: Path) -> dict[str, Any]:
    """The results of a run to compare: bytes of files, weights, and the summary without times."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if not path.is_file() or name.split("/")[0] in NOT_COMPARED or path.name == ".lock":
            continue
        if path.suffix == ".ckpt":
            if path.name == "selected.ckpt":
                weights = torch.load(path, weights_only=True)["state_dict"]
                found[name] = {k: v.numpy().tobytes() for k, v in weights.items()}
        elif name == "summary.json":
            found[name] = {**json.loads(path.read_text()), "seconds": None, "overrides": None}
        elif name != "manifest.json":
            found[name] = path.read_bytes().replace(run.name.encode(), b"NAME")
    return found


def kill_after(share: float, number: int, seconds: float) -> Callable[[int], None]:
    def disturb(pid: int) -> None:
        time.sleep(share * seconds)
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    return disturb


def damage(run: Path, kind: str, draw: random.Random) -> str:
    """Cut, flip or remove a random file of a run; returns the file."""
    files = [
        path
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.relative_to(run).parts[0] not in NOT_COMPARED
        and path.name != ".lock" and path.stat().st_size
    ]  # fmt: skip
    if not files:
        return "nothing"
    path = draw.choice(files)
    content = bytearray(path.read_bytes())
    if kind == "removed":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(content[: draw.randrange(len(content))])
    else:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
    return path.relative_to(run).as_posix()


class Harness:
    """One kind of run, with its undisturbed results and duration."""

    def __init__(self, name: str, words: list[str], folder: Path) -> None:
        self.name, self.words, self.folder = name, words, folder
        started = time.monotonic()
        outcome = self.call("whole")
        self.seconds = time.monotonic() - started
        assert outcome.status == 0, outcome.stderr
        self.whole = results(folder / "whole")

    def call(self, name: str, **how: Any) -> Outcome:
        words = latest(*self.words, "figures=true", f"output_dir={self.folder}", f"name={name}")
        return command(words, self.folder, **how)

    def fault(self, number: int, kind: str, draw: random.Random) -> tuple[str, str]:
        """Cause a fault; returns its target and the outcome: "same", "refused" or a text."""
        name = f"{kind}-{number}"
        hit = self._disturb(name, kind, draw)
        run = self.folder / name
        for _ in range(MOST_CALLS):
            outcome = self.call(name)
            if outcome.status == 0:
                same = results(run) == self.whole
                return hit, "same" if same else f"exit 0 with another result ({self._other(run)})"
            if outcome.is_one_line_refusal and kind in DAMAGES:
                named = Path(hit).name in outcome.stderr
                return hit, "refused" if named else f"refused by another name: {outcome.stderr}"
        return hit, f"exit {outcome.status}: {outcome.stderr[-600:]}"

    def _disturb(self, name: str, kind: str, draw: random.Random) -> str:
        share = draw.uniform(0, 1.05)
        if kind in SIGNALS:
            self.call(name, disturb=kill_after(share, SIGNALS[kind], self.seconds))
            return f"{share:.0%} of the time"
        if kind == "full disk":
            outcome = self.call(name, limit=(limit := int(10 ** draw.uniform(2.5, 5.5))))
            if outcome.status != 0 and not outcome.is_one_line_refusal:
                return f"{limit} bytes, with a traceback: {outcome.stderr[-600:]}"
            return f"{limit} bytes a file"
        self.call(name, disturb=kill_after(share, signal.SIGKILL, self.seconds))
        return damage(self.folder / name, kind, draw)

    def _other(self, run: Path) -> str:
        found = results(run)
        names = found.keys() | self.whole.keys()
        return ", ".join(sorted(n for n in names if found.get(n) != self.whole.get(n)))


def make_images(root: Path) -> None:
    """Two classes of grey images with noise."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 10)):
        for name, mean in (("a", 90), ("b", 160)):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(mean, 30, (8, 8, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{i:02}.png")


def main(count: int, seed: int, folder: Path) -> int:
    """Cause ``count`` faults, print a table, and return the number of unexpected outcomes."""
    torch.set_num_threads(1)
    make_images(folder / "data")
    progress = ["trainer.enable_progress_bar=false"]
    runs = {
        "theory": [*TINY, "checkpoint_every_n_steps=7", *progress],
        "images": [*TINY_IMAGES, f"data.root={folder / 'data'}", *progress],
    }
    harnesses = []
    for name, words in runs.items():
        (folder / name).mkdir()
        harnesses.append(Harness(name, words, folder / name))
    outcomes: Counter[tuple[str, str, str]] = Counter()
    wrong = 0
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")
        harness, kind = harnesses[number % 2], KINDS[number // 2 % len(KINDS)]
        hit, outcome = harness.fault(number, kind, draw)
        if outcome not in ("same", "refused") or "traceback" in hit:
            wrong += 1
            print(f"{number} {harness.name} {kind} ({hit}): {outcome}", flush=True)
            outcome = "wrong"
        outcomes[harness.name, kind, outcome] += 1
    print(f"{'run':8}{'fault':12}{'same bits':>10}{'refused':>10}{'wrong':>8}")
    for harness in harnesses:
        for kind in KINDS:
            ends = [outcomes[harness.name, kind, end] for end in ("same", "refused", "wrong")]
            print(f"{harness.name:8}{kind:12}{ends[0]:10}{ends[1]:10}{ends[2]:8}")
    print(f"{count - wrong} of {count} faults ended with the same bits or a refusal in one line")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    place = Path(mkdtemp(prefix="faults-"))
    try:
        sys.exit(main(options.count, options.seed, place) > 0)
    finally:
        shutil.rmtree(place)
