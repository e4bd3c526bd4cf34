"""Training through the Trainer against a bare loop, monitors on against off, and start-up."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch.nn import functional as F

from benchmarks.ratio import Ratio, seconds, side_by_side
from labelnoise.config.composition import compose
from labelnoise.run_directory import claim
from labelnoise.training.building import build
from labelnoise.training.isolation import isolated

ROOT = Path(__file__).resolve().parents[1]
SETTING = ("data.n=200", "data.d=2000", "model.filters=20")
STEPS = 1500
QUIET = ("trainer.enable_progress_bar=false",)


def bare_step(overrides: Sequence[str]) -> float:
    """Milliseconds a step of the same arithmetic on the same data in a plain PyTorch loop."""
    cfg = compose([*SETTING, *QUIET, *overrides])
    with (
        tempfile.TemporaryDirectory() as root,
        claim(Path(root, "run"), cfg, []) as run,
        isolated(0, cfg.threads),
    ):
        parts = build(cfg, run)
        split, weight = parts.datamodule.train, parts.classifier.model.weight
        assert isinstance(weight, torch.nn.Parameter)
        input, label = split.input[:], split.label
        optimizer = torch.optim.SGD([weight], lr=cfg.optimizer.lr)

        def loop() -> None:
            for _ in range(STEPS):
                activation = torch.relu(input.flatten(0, 1) @ weight.flatten(0, 1).T)
                logits = activation.view(len(label), 2, 2, -1).sum(1).mean(-1)
                optimizer.zero_grad()
                F.cross_entropy(logits, label).backward()
                optimizer.step()

        return 1e3 * seconds(loop) / STEPS


def trainer_step(overrides: Sequence[str]) -> float:
    """Milliseconds a step through the Trainer with everything that a run switches on by default."""
    cfg = compose([*SETTING, *QUIET, f"max_steps={STEPS}", *overrides])
    with (
        tempfile.TemporaryDirectory() as root,
        claim(Path(root, "run"), cfg, []) as run,
        isolated(0, cfg.threads),
    ):
        parts = build(cfg, run)
        fit = seconds(lambda: parts.trainer.fit(parts.classifier, datamodule=parts.datamodule))
        return 1e3 * fit / STEPS


def command(*arguments: str) -> float:
    """Seconds of one command as a whole, start-up included."""
    return seconds(
        lambda: subprocess.run(
            [sys.executable, *arguments], check=True, capture_output=True, cwd=ROOT
        )
    )


def run_command(*overrides: str) -> float:
    """Seconds of the default run as a command, pictures included."""
    with tempfile.TemporaryDirectory() as root:
        return command("run.py", *QUIET, f"output_dir={root}", *overrides)


def measure() -> Iterator[Ratio]:
    """All comparisons of this file, each as soon as it is measured."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    for threads in (1, 2):
        ours, other, ratio = side_by_side(
            partial(trainer_step, [f"threads={threads}"]),
            partial(bare_step, [f"threads={threads}"]),
            rounds=3,
        )
        name = f"step through Trainer / bare loop, {threads} thread{'s' if threads > 1 else ''}"
        yield Ratio(name, "ms", ours, other, ratio, "<= 2")
    ours, other, ratio = side_by_side(run_command, lambda: run_command("monitor=none"), rounds=5)
    yield Ratio("run with / without monitors", "s", ours, other, ratio, "<= 1.1")
    ours, other, ratio = side_by_side(
        lambda: command("run.py", "--help"),
        lambda: command("-c", "import torch, pytorch_lightning"),
        rounds=5,
    )
    yield Ratio("run.py --help / import of torch", "s", ours, other, ratio, "<= 0.333")
