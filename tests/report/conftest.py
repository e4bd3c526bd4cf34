"""A finished run on a few images, made once."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from labelnoise.config import compose
from labelnoise.training import train

IMAGES = 24  # in each of the six files; every fifth is of class 0 and every fifth of class 1


def write_cifar10(root: Path) -> None:
    """The published files' form, with pixels that depend on the class and are noisy."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        label = [k % 5 for k in range(IMAGES)]
        pixels = rng.integers(0, 60, (IMAGES, 3072)) + 40 * np.array(label)[:, None]
        contents = {"labels": label, "data": pixels.astype(np.uint8)}
        (folder / name).write_bytes(pickle.dumps(contents, protocol=2))


def image_config(root: Path, *overrides: str) -> DictConfig:
    return compose(
        [
            "data=cifar10_pair", f"data.root={root}", "data.verify=false", "data.download=false",
            "model.filters=2", "model.sigma_0=0.1", "max_epochs=2", "batch_size=10",
            "monitor=none", "threads=1", "trainer.enable_progress_bar=false", "logger=none",
            *overrides,
        ]
    )  # fmt: skip


@pytest.fixture(scope="session")
def cifar_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cifar")
    write_cifar10(root)
    return root


@pytest.fixture(scope="session")
def image_run(cifar_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run on 45 images of two classes, 10 of them with a wrong label."""
    path = tmp_path_factory.mktemp("runs") / "images"
    train(image_config(cifar_root), path)
    return path
