"""Theory runs by the thousand, on inner products, against training the weights of one at a time.

Both sides have one core, so that the ratios are those of the methods: `simulate` itself takes all
cores, a chunk of runs each, which one run's matrices are too small for.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from benchmarks.ratio import Ratio, print_ratios, seconds, side_by_side
from labelnoise.config.composition import compose
from labelnoise.seeding import stream
from labelnoise.theory.simulation import BatchedDescent, Setting, draw_products, simulate
from labelnoise.theory.simulation.chunks import MEMORY_LIMIT, chunks_of
from labelnoise.training.train import train

SMALL = Setting(n=20, d=600, m=10, signal_norm=3.0, tau_plus=0.1, tau_minus=0.1, eta=0.1)
LARGE = Setting(n=200, d=2000, m=20)
STEPS, SAMPLES, ROUNDS = 100, 1000, 5
SEEDS, CELLS = 10, 200
THE_SAME_RUN = (
    "data=signal_noise",
    f"data.n={SMALL.n}",
    f"data.d={SMALL.d}",
    "data.n_snr_squared=null",
    f"data.signal_norm={SMALL.signal_norm}",
    f"data.n_test={SAMPLES}",
    f"model.filters={SMALL.m}",
    f"max_steps={STEPS}",
    f"optimizer.lr={SMALL.eta}",
    "noise_rate=0.1",
    "logger=none",
    f"log_every_n_steps={STEPS}",
    f"eval_every_n_steps={STEPS}",
    "checkpoint_every_n_steps=null",
    "trainer.enable_progress_bar=false",
    "threads=1",
)


class WeightSpace:
    """One run on weights in float32, by matrix products alone."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self.setting, self.generator = setting, stream(seed, "weights")
        n, rows = setting.n, 2 * setting.m
        self.signal = torch.zeros(setting.d)
        self.signal[0] = setting.signal_norm
        patches = setting.xi_std * self.normal(n, setting.d)
        self.features = torch.cat([patches, self.signal[None]])
        self.sign = (torch.rand(n, generator=self.generator) < 0.5) * 2.0 - 1
        flip = torch.rand(n, generator=self.generator) < setting.tau_plus
        self.given_sign = torch.where(flip, -self.sign, self.sign)
        self.class_sign = torch.ones(rows).index_fill_(0, torch.arange(setting.m), -1.0)
        self.weight = setting.sigma_0 * self.normal(rows, setting.d)

    def normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator)

    def step(self, times: int) -> None:
        n, m, eta = self.setting.n, self.setting.m, self.setting.eta
        vote = self.class_sign / m
        for _ in range(times):
            product = self.features @ self.weight.T
            patch, signal = product[:n], self.sign[:, None] * product[n]
            margin = self.given_sign * ((patch.relu() + signal.relu()) @ vote)
            pull = eta / n * self.given_sign * torch.sigmoid(-margin)
            along = (pull * self.sign) @ (signal > 0).float()
            moved = torch.cat([pull[:, None] * (patch > 0), along[None]]) * vote
            self.weight.addmm_(moved.T, self.features)

    def test_error(self, samples: int) -> float:
        patch = self.setting.xi_std * self.normal(samples, self.setting.d)
        sign = (torch.rand(samples, generator=self.generator) < 0.5) * 2.0 - 1
        signal = sign[:, None] * (self.weight @ self.signal)
        f = ((patch @ self.weight.T).relu() + signal.relu()) @ self.class_sign
        return float((f * sign <= 0).float().mean())


def diagram(seeds: int, cells: int) -> tuple[list[Setting], list[int]]:
    """Runs of a phase diagram: settings that differ in the signal, and the same seeds for each."""
    norms = torch.linspace(0.5, 8, cells).tolist()
    settings = [replace(SMALL, signal_norm=norm) for norm in norms for _ in range(seeds)]
    return settings, list(range(seeds)) * cells


def batched_run() -> float:
    """Runs of a diagram per second, draws and test error included."""
    settings, seeds = diagram(SEEDS, CELLS)
    options = {"test_samples": SAMPLES, "test_steps": [STEPS], "workers": 1}
    work = partial(simulate, settings, seeds, [STEPS], **options)  # type: ignore[arg-type]
    return len(seeds) / seconds(work)


def weight_space_run(runs: int = 20) -> float:
    """Runs of the plain loop per second, each with draws and a test error of its own."""

    def work() -> None:
        for seed in range(runs):
            run = WeightSpace(SMALL, seed)
            run.step(STEPS)
            run.test_error(SAMPLES)

    return runs / seconds(work)


def trained_run() -> float:
    """The same runs through run.py's train per second, without the start of Python."""
    cfg = compose(THE_SAME_RUN)
    unread = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as root,
        contextlib.redirect_stdout(unread),
        contextlib.redirect_stderr(unread),
    ):
        return 1 / seconds(lambda: train(cfg, Path(root, "run")))


def batched_steps(setting: Setting, runs: int, steps: int) -> float:
    """Milliseconds a step and run, without draws and measures, in the chunks of `simulate`."""
    settings = [setting] * runs
    chunks = [
        BatchedDescent(
            draw_products(settings[part], range(*part.indices(runs))),
            torch.full((len(settings[part]),), float(setting.m)),
            torch.full((len(settings[part]),), setting.eta, dtype=torch.float64),
            torch.float32,
        )
        for part in chunks_of(settings, 0, torch.float32, MEMORY_LIMIT)
    ]

    def work() -> None:
        for chunk in chunks:
            chunk.step(steps)

    return 1e3 * seconds(work) / (runs * steps)


def weight_space_step(setting: Setting, steps: int) -> float:
    """Milliseconds a step of the plain loop."""
    run = WeightSpace(setting, 0)
    run.step(2)
    return 1e3 * seconds(lambda: run.step(steps)) / steps


def at_dimension(d: int) -> float:
    """Milliseconds a step at d, at a learning rate that keeps T1 where it is."""
    return batched_steps(replace(SMALL, d=d, eta=0.1 * 600 / d), runs=400, steps=200)


def measure() -> Iterator[Ratio]:
    """All comparisons of this file, each as soon as it is measured."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    default = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from _measure()
    finally:
        torch.set_num_threads(default)


def _measure() -> Iterator[Ratio]:
    batched_run()
    trained_run()
    ours, other, ratio = side_by_side(batched_run, weight_space_run, ROUNDS)
    yield Ratio("theory runs, batched / weights", "per second", ours, other, ratio, ">= 20")
    ours, other, ratio = side_by_side(batched_run, trained_run, ROUNDS)
    yield Ratio("theory runs, batched / run.py", "per second", ours, other, ratio, ">= 200")
    ours, other, ratio = side_by_side(
        partial(at_dimension, 10**9), partial(at_dimension, 10**3), ROUNDS
    )
    for bound in ("<= 1.25", ">= 0.8"):  # neither slower nor faster: independent of d
        yield Ratio("batched step, d = 1e9 / d = 1e3", "ms", ours, other, ratio, bound)
    ours, other, ratio = side_by_side(
        partial(batched_steps, LARGE, runs=64, steps=50),
        partial(weight_space_step, LARGE, steps=200),
        ROUNDS,
    )
    yield Ratio("step of n = 200, batched / weights", "ms", ours, other, ratio, "<= 0.1")


if __name__ == "__main__":
    print_ratios(measure())
