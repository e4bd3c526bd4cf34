"""A few images in the form of the published CIFAR-10 files, and runs on them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from labelnoise.config.composition import compose

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
