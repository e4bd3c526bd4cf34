"""Every technique, killed within an epoch and resumed, ends as if it had never been stopped."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import compose
from labelnoise.run_directory import claim
from labelnoise.training.building import build
from labelnoise.training.isolation import isolated
from tests.conftest import TINY_IMAGES, Kill

NAMES = sorted(path.stem for path in (CONF_DIR / "technique").glob("*.yaml"))
PLAIN = ("none", "ce")
# Losses that are functions without a state differ in a formula alone; gce stands for them.
STATELESS = {
    "ce", "mae", "sce", "nce_rce", "label_smoothing", "bootstrapping_soft", "bootstrapping_hard",
}  # fmt: skip
CASES = [pytest.param(n, marks=pytest.mark.slow) if n in STATELESS else n for n in NAMES]
# At work before the run is killed at step 13 of 18, in its third epoch of six steps.
AT_WORK = {
    "backward_correction": ("technique.backward_correction.warmup_epochs=1",),
    "forward_correction": ("technique.forward_correction.warmup_epochs=1",),
    "stochastic_reset": (
        "technique.stochastic_reset.activation=at_once",
        "technique.stochastic_reset.r=0.3",
    ),
    "label_wave": ("technique.label_wave.window=1", "optimizer.lr=0.3", "max_epochs=12"),
    "sample_selection": ("technique.sample_selection.warmup_epochs=1",),
    "early_stop": ("technique.early_stop.patience=1", "optimizer.lr=1.0", "max_epochs=4"),
}


def fit(words: tuple[str, ...], directory: Path, image_root: Path) -> dict[str, Any]:
    """Train or continue training, without tests and figures; returns the files of the run."""
    cfg = compose([*TINY_IMAGES, f"data.root={image_root}", *words])
    with claim(directory, cfg, []) as run, isolated(cfg.seed, cfg.threads):
        parts = build(cfg, run)
        checkpoint = run.last_checkpoint if run.last_checkpoint.exists() else None
        parts.trainer.fit(
            parts.classifier, datamodule=parts.datamodule, ckpt_path=checkpoint, weights_only=True
        )
        return {
            "weights": parts.classifier.state_dict(),
            "sample_weight": parts.classifier.sample_weight,
            "history": parts.classifier.history.rows,
            "states": [technique.state_dict() for technique in parts.techniques.values()],
            "reports": [technique.report() for technique in parts.techniques.values()],
        }


@pytest.fixture(scope="module")
def plain_history(
    image_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[tuple[str, ...]], Any]:
    """The metrics of a run without a technique; trained once for each set of options."""

    @cache
    def history(words: tuple[str, ...]) -> Any:
        return fit(words, tmp_path_factory.mktemp("plain") / "run", image_root)["history"]

    return history


@pytest.mark.parametrize("name", CASES)
def test_killed_and_resumed(
    name: str,
    image_root: Path,
    tmp_path: Path,
    killed_at: Kill,
    plain_history: Callable[[tuple[str, ...]], Any],
) -> None:
    words = (f"technique={name}", "max_epochs=3", *AT_WORK.get(name, ()))
    whole = fit(words, tmp_path / "whole", image_root)
    with killed_at(13):
        fit(words, tmp_path / "cut", image_root)
    assert (tmp_path / "cut" / "checkpoints" / "last.ckpt").exists()
    resumed = fit(words, tmp_path / "cut", image_root)
    assert_equal(whole, resumed, name)
    plain = plain_history(tuple(word for word in words if "technique" not in word))
    assert (plain == whole["history"]) == (name in PLAIN), "it did nothing"


def assert_equal(a: Any, b: Any, where: str) -> None:
    """The same structure with the same bits; NaN equals NaN."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            assert_equal(left, right, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b or (a != a and b != b), where
