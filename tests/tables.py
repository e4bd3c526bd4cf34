"""Small tables of features, written as files of every format."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

D = 4
NAMES = ("cat", "dog", "eel")


def clouds(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, D) of three clouds in turn, of unequal means and scales, and classes (n,)."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % len(NAMES)
    centre = 3 * np.eye(D)[label]
    return (centre + rng.normal(size=(n, D))) * [1, 10, 0.1, 1] + [0, 1000, 0, -5], label


def write_csv(path: Path, values: np.ndarray, words: dict[str, list[str]], sep: str = ",") -> Path:
    """A table with the columns x0, x1, ... after the columns of words."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=sep)
        writer.writerow([*words, *(f"x{i}" for i in range(values.shape[1]))])
        for i, row in enumerate(values.tolist()):
            writer.writerow([*(word[i] for word in words.values()), *map(repr, row)])
    return path


def names(label: np.ndarray) -> list[str]:
    return [NAMES[k] for k in label]


def write_both(folder: Path, n: int = 60, n_test: int = 30) -> tuple[Path, Path]:
    """A CSV of training rows and a CSV of test rows."""
    paths = []
    for part, count, seed in (("train", n, 0), ("test", n_test, 1)):
        values, label = clouds(count, seed)
        paths.append(write_csv(folder / f"{part}.csv", values, {"label": names(label)}))
    return paths[0], paths[1]
