from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import compose
from labelnoise.config.targets import find
from labelnoise.data import SignalNoiseDataModule
from labelnoise.errors import InputError
from labelnoise.models import TwoLayerCNN
from labelnoise.monitors import CoefficientMonitor, MemorizationMonitor
from labelnoise.report.loaded import load_run
from labelnoise.training.train import train
from tests.conftest import Finished, Run, present
from tests.recursion import CoefficientRecursion

NAMES = sorted(path.stem for path in (CONF_DIR / "monitor").glob("*.yaml") if path.stem != "none")


def weights(path: Path) -> torch.Tensor:
    checkpoint = torch.load(path / "checkpoints" / "selected.ckpt", weights_only=True)
    return checkpoint["state_dict"]["model.weight"]


@pytest.mark.parametrize("options", [(), ("batch_size=7", "optimizer.momentum=0.9")])
def test_watching_changes_nothing(run_tiny: Run, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Bit for bit, with mini-batches and momentum too."""
    run_tiny("log_every_n_steps=1", *options, name="watched")
    run_tiny("monitor=none", "data.n_val=0", *options, name="alone")
    assert torch.equal(weights(tmp_path / "watched"), weights(tmp_path / "alone"))


@pytest.mark.parametrize("name", NAMES)
def test_watching_by_any_file_changes_nothing(
    run_tiny: Run, finished_tiny: Finished, tmp_path: Path, name: str
) -> None:
    short = ("max_steps=12", "log_every_n_steps=4", "batch_size=7")
    run_tiny(f"monitor={name}", *short)
    alone = finished_tiny("monitor=none", *short)
    assert torch.equal(weights(tmp_path / "run"), weights(alone))


def test_every_file_is_named_as_what_its_monitor_records() -> None:
    """By that name a technique that reads its metrics switches it on."""
    for name in NAMES:
        (node,) = compose([f"monitor={name}"]).monitor.values()
        assert name == "memorization" or find(node._target_).records == (name,)


def test_coefficients_of_a_run_equal_the_closed_form_recursion(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    from labelnoise.run_directory import claim
    from labelnoise.training.building import build

    cfg = tiny_config("data.dtype=float64", "log_every_n_steps=1")
    train(cfg, tmp_path / "run")
    measured = load_run(tmp_path / "run").coefficients()
    with claim(tmp_path / "again", cfg, []) as run:
        parts = build(cfg, run)
    data, model = parts.datamodule, parts.classifier.model
    assert isinstance(data, SignalNoiseDataModule) and isinstance(model, TwoLayerCNN)
    recursion = CoefficientRecursion(
        present(data.signal), data.noise_patches, data.train.label, data.train.clean_label,
        model.initial_weight, 0.05,
    )  # fmt: skip
    at = {int(step): row for row, step in enumerate(measured["steps"])}
    for step in range(61):
        gamma, rho = recursion.coefficients
        row = at[step]
        # Arrays are kept in single precision.
        np.testing.assert_allclose(measured["gamma"][row], gamma, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(measured["rho_max"][row], rho.amax(1), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(measured["rho_sum"][row], rho.sum(1), rtol=1e-6, atol=1e-9)
        recursion.step()


def test_metrics_are_of_the_weights_at_their_step(run_tiny: Run, tmp_path: Path) -> None:
    summary = run_tiny("max_steps=50")
    history = load_run(tmp_path / "run").history
    assert history.series("train/acc")[0].tolist() == [0, 1, 2, 4, 8, 10, 16, 20, 30, 40, 50]
    for name in ("train/loss", "train/acc_clean", "train/acc_noisy", "test/acc"):
        assert history.at(name, 50) == pytest.approx(summary["final"][name])


def test_a_large_training_set_is_probed_by_a_fixed_draw(
    run_tiny: Run, finished_tiny: Finished, tmp_path: Path
) -> None:
    probed = run_tiny("monitor.memorization.probe_size=5")
    history = load_run(tmp_path / "run").history
    assert set(5 * history.series("train/acc")[1]) <= {0, 1, 2, 3, 4, 5}
    assert probed["final"] == load_run(finished_tiny()).summary["final"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.d=20"], r"d >= n \+ 1"),
        (["model.kernel_size=1", "data.d=20"], "needs d >= n"),
    ],
)
def test_coefficients_that_are_not_unique_are_refused(
    run_tiny: Run, tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_tiny(*overrides)
    assert not (tmp_path / "run").exists()


def test_bad_options_are_refused() -> None:
    with pytest.raises(InputError, match="every_n_steps must be a whole number of at least 1"):
        CoefficientMonitor(every_n_steps=0)
    with pytest.raises(InputError, match="probe_size must be a whole number of at least 1"):
        MemorizationMonitor(probe_size=0)
