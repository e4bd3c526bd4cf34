"""A few images in the form of torchvision's files of MNIST."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

PREFIXES = {"train": "train", "test": "t10k"}


def idx(values: np.ndarray) -> bytes:
    """The bytes of an IDX file, by its published form."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.astype(np.uint8).tobytes()


def write_mnist(
    root: Path, name: str = "MNIST", n: int = 40, *, packed: bool = False
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images with two bright rows at a place that the class determines, and labels; by part."""
    folder = root / name / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    written = {}
    for part, prefix in PREFIXES.items():
        label = np.arange(n) % 10
        image = rng.integers(0, 60, (n, 28, 28))
        image[label[:, None] == np.arange(28) // 2] += 150
        for kind, values in (("images-idx3", image), ("labels-idx1", label)):
            content = idx(values)
            ending = ".gz" if packed else ""
            content = gzip.compress(content) if packed else content
            (folder / f"{prefix}-{kind}-ubyte{ending}").write_bytes(content)
        written[part] = (image, label)
    return written
