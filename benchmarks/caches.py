"""Training from the memory-mapped file of decoded images against images in memory.

The page cache is warm: the file was written or read just before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.ratio import Ratio, seconds, side_by_side
from labelnoise.config.composition import compose
from labelnoise.run_directory import claim
from labelnoise.training.building import build
from labelnoise.training.isolation import isolated

PICTURES, SIZE, STEPS, ROUNDS = 2000, 128, 40, 5


def write_pictures(root: Path, count: int = PICTURES, size: int = SIZE) -> None:
    """Write smooth random JPEG pictures in ten class folders."""
    rng = np.random.default_rng(0)
    for i in range(count):
        path = root / str(i % 10) / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        rough = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        rough.resize((size, size), Image.Resampling.BICUBIC).save(path, quality=30)


def step(root: Path, cache: str) -> float:
    """Milliseconds a step of the linear network, which spends little time on arithmetic."""
    cfg = compose([
        "data=image_folder", f"data.root={root}", f"data.image_size={SIZE}", f"data.cache={cache}",
        f"data.cache_dir={root.parent / 'cache'}", "model=linear", "monitor=none", "batch_size=100",
        f"max_steps={STEPS}", "threads=1", "trainer.enable_progress_bar=false",
    ])  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as folder,
        claim(Path(folder, "run"), cfg, []) as run,
        isolated(0, cfg.threads),
    ):
        parts = build(cfg, run)
        fit = partial(parts.trainer.fit, parts.classifier, datamodule=parts.datamodule)
        return 1e3 * seconds(fit) / STEPS


def measure() -> Iterator[Ratio]:
    """The comparison of this file."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "pictures")
        write_pictures(root)
        ours, other, ratio = side_by_side(
            partial(step, root, "disk"), partial(step, root, "memory"), ROUNDS
        )
        yield Ratio("step from the disk cache / from memory", "ms", ours, other, ratio, "<= 2")
