"""The commands into which faults are injected."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.conftest import TINY, TINY_IMAGES, latest
from tests.faults.process import Command, import_all
from tests.faults.results import different, results
from tests.phase_diagram.conftest import SMALL

QUIET = ("trainer.enable_progress_bar=false",)
IMAGES = "data.root=images"


@dataclass(frozen=True)
class Door:
    """A command.

    Attributes:
        name: its name in the table of outcomes.
        script: the file that is run.
        words: the words of its command line, without output_dir= and name=.
        has_children: whether it computes in processes of its own.
    """

    name: str
    script: str
    words: tuple[str, ...]
    has_children: bool = False


_SWEPT = tuple(latest(*TINY, "max_steps=40", "checkpoint_every_n_steps=7"))
DOORS = (
    Door("theory", "run.py", tuple(latest(*TINY, "checkpoint_every_n_steps=7", "figures=true"))),
    Door("images", "run.py", tuple(latest(*TINY_IMAGES, IMAGES, "figures=true"))),
    Door(
        "sweep",
        "run.py",
        ("-m", *_SWEPT, "seed=0,1,2", "hydra.launcher.n_jobs=2"),
        has_children=True,
    ),
    Door(
        "search",
        "run.py",
        ("-m", *_SWEPT, "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3",
         "hydra.sweeper.n_jobs=2", "hydra.launcher.n_jobs=2",
         "optimizer.lr=interval(0.01,0.2)"),
        has_children=True,
    ),
    Door(
        "audit",
        "audit.py",
        (*latest(*TINY_IMAGES, IMAGES, "max_epochs=3"), "folds=2", "jobs=2"),
        has_children=True,
    ),
    Door("diagram", "phase_diagram.py", (*latest(*SMALL, "seeds=50"),)),
)  # fmt: skip


@dataclass
class Case:
    """One fault in one command.

    Attributes:
        door: the command.
        folder: its output_dir.
        draw: the source of chance.
        seconds: the duration of the undisturbed command.
        target: the damaged file or folder, which a refusal must name.
        hit: the fault in words, with its random values.
        wrong: the reason if the disturbed command itself ended wrong.
    """

    door: Door
    folder: Path
    draw: random.Random
    seconds: float = 0.0
    target: Path | None = None
    hit: str = ""
    wrong: str = ""
    calls: int = field(default=0, init=False)

    @property
    def run(self) -> Path:
        """The folder of the run, the sweep, the audit or the diagram."""
        return self.folder / "run"

    @property
    def log(self) -> Path:
        """The file with the output of the last call."""
        return self.folder.with_name(f"{self.folder.name}-{self.calls}.log")

    def start(self, prepare: Callable[[], None] = lambda: None) -> Command:
        """Start the command; ``prepare`` is called in its process first."""
        self.calls += 1
        words = [*self.door.words, f"output_dir={self.folder}", "name=run"]
        return Command(self.door.script, words, self.log, prepare)


@dataclass(frozen=True)
class Undisturbed:
    """The results of the command without a fault, and its duration."""

    results: dict[str, Any]
    seconds: float


def undisturbed(door: Door) -> Undisturbed:
    """Run a command twice without a fault: the first time finds the modules to import."""
    first = Case(door, Path(f"{door.name}-first"), random.Random())
    assert (ended := first.start().end()).status == 0, ended
    import_all((first.log.with_suffix(".modules")).read_text().split())
    started = time.monotonic()
    second = Case(door, Path(f"{door.name}-whole"), random.Random())
    assert (ended := second.start().end()).status == 0, ended
    seconds = time.monotonic() - started
    whole = results(second.run)
    assert not (other := different(results(first.run), whole)), f"{door.name}: {other} differ"
    return Undisturbed(whole, seconds)


def make_images(root: Path) -> None:
    """Two classes of grey images with noise."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 10)):
        for name, mean in (("a", 90), ("b", 160)):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(mean, 30, (8, 8, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{i:02}.png")
