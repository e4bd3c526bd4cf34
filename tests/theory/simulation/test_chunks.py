"""Neither workers nor the order of runs change a number."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from labelnoise.errors import InputError
from labelnoise.theory.simulation import (
    BatchedDescent,
    Setting,
    Trajectories,
    draw_products,
    run,
    simulate,
)
from labelnoise.theory.simulation.chunks import chunks_of, on_workers, together
from labelnoise.theory.simulation.measures import held_out_errors, training_measures

SMALL: dict[str, Any] = {"n": 8, "m": 3, "eta": 0.5, "tau_plus": 0.2, "tau_minus": 0.2}
SETTINGS = [Setting(d=d, signal_norm=norm, **SMALL) for d in (60, 600) for norm in (1.0, 20.0)]
RUNS = [setting for setting in SETTINGS for _ in range(6)]
SEEDS = list(range(6)) * len(SETTINGS)


def assert_same(ours: Trajectories, theirs: Trajectories) -> None:
    assert ours.measures.keys() == theirs.measures.keys()
    for name, values in ours.measures.items():
        assert np.array_equal(values, theirs.measures[name], equal_nan=True), name


def test_workers_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "CACHE", 2**13)  # five runs a chunk
    one, three = (
        simulate(RUNS, SEEDS, [0, 7, 30], test_samples=50, workers=workers) for workers in (1, 3)
    )
    assert_same(one, three)


def test_results_come_in_the_order_of_the_runs() -> None:
    order = np.random.default_rng(0).permutation(len(RUNS))
    shuffled = simulate([RUNS[i] for i in order], [SEEDS[i] for i in order], [5], test_samples=50)
    straight = simulate(RUNS, SEEDS, [5], test_samples=50)
    for name, values in straight.measures.items():
        np.testing.assert_allclose(values[:, order], shuffled.measures[name], 1e-4, 1e-6, True)


def test_runs_of_one_seed_are_next_to_each_other() -> None:
    order = together(RUNS, SEEDS)
    assert sorted(order) == list(range(len(RUNS)))
    assert [SEEDS[i] for i in order] == sorted(SEEDS)


def test_runs_that_share_a_seed_are_those_that_each_would_be_alone() -> None:
    settings = [Setting(d=d, signal_norm=2.0, **SMALL) for d in (60, 90, 60, 10**9)]
    seeds, steps = [3, 3, 4, 3], [0, 10]
    products = draw_products(settings, seeds)
    together = simulate(settings, seeds, steps, test_samples=200, dtype=torch.float64)
    for i, seed in enumerate(seeds):
        alone = draw_products([settings[i]], [seed])
        for ours, theirs in zip(products, alone, strict=True):
            torch.testing.assert_close(ours[i], theirs[0], rtol=1e-12, atol=0)
        run_alone = simulate([settings[i]], [seed], steps, test_samples=200, dtype=torch.float64)
        for name, values in together.measures.items():
            np.testing.assert_allclose(values[:, i], run_alone.measures[name][:, 0], 1e-9, 1e-12)


@pytest.mark.parametrize("fails", [False, True])
def test_torch_has_its_threads_back(fails: bool) -> None:
    def work(part: int) -> int:
        if fails:
            raise InputError("refused")
        return torch.get_num_threads() + part

    def call(work: Callable[[int], int]) -> list[int]:
        return on_workers(work, range(3), workers=2)

    before = torch.get_num_threads()
    if fails:
        with pytest.raises(InputError, match="refused"):
            call(work)
    else:
        assert call(work) == [1, 2, 3]
    assert torch.get_num_threads() == before


def test_no_workers_are_refused() -> None:
    with pytest.raises(InputError, match="workers must be a whole number of at least 1, got 0"):
        simulate(RUNS, SEEDS, [1], workers=0)


def test_filters_without_a_root_of_full_rank_are_tested_too() -> None:
    """Filters that are all zero, or equal, as where sigma_0 = 0."""
    setting = Setting(d=60, **{**SMALL, "sigma_0": 0.0})
    products = draw_products([setting, Setting(d=60, **SMALL)], [0, 0])
    both = BatchedDescent(products, torch.tensor([3.0, 3.0]), torch.tensor([0.5, 0.5]))
    both.step(20)
    normals = torch.randn(1, 6, 100, generator=torch.Generator().manual_seed(0))
    draw, orthogonal = torch.tensor([0, 0]), torch.tensor([False, False])
    errors = held_out_errors(both, normals, torch.ones(2), orthogonal, draw)
    # All-zero filters stay where they are, and f = 0 is a prediction of y = -1.
    assert errors[0].tolist() == [0.0, 1.0]
    measured = training_measures(both)
    for name, noisy in (("acc_clean", False), ("acc_noisy", True)):
        chosen = both.given_sign[0][both.is_noisy[0] == noisy]
        assert measured[name][0] == (chosen < 0).float().mean()
    assert (errors[1] < 1).all()


def test_a_run_larger_than_the_cache_is_a_chunk_of_its_own() -> None:
    settings = [Setting(n=1500, d=3000, m=20)] * 2
    assert list(chunks_of(settings, 0, torch.float64, 2**28)) == [slice(0, 1), slice(1, 2)]


@pytest.mark.slow
def test_drawing_keeps_to_the_memory_limit() -> None:
    """The memory of one run of n = 1,500 in a separate process, without the imports."""
    code = """
from pathlib import Path
import torch
from labelnoise.theory.simulation import Setting, simulate
from labelnoise.theory.simulation.chunks import DRAWN
torch.set_num_threads(1)
def peak(n):
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    simulate([Setting(n=n, d=3000, m=20)], [0], [1], test_samples=0, workers=1)
    (line,) = [l for l in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in l]
    return int(line.split()[1]) * 1024
before = peak(50)
print((peak(1500) - before) / (DRAWN * 1540**2 + 4 * 1501 * 1701))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.5 < float(done.stdout) < 1.1
