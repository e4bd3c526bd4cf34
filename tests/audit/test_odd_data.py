"""Audits of odd data sets: every sample has one row in suspects.csv."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from PIL import Image

from labelnoise.audit.audit import audit
from labelnoise.audit.config import compose, fold_config
from labelnoise.audit.folds import fold_directory
from labelnoise.training.train import train
from tests.folders import write_image

QUICK = [
    "folds=2", "max_epochs=1", "optimizer.lr=0.01", "batch_size=20", "threads=1",
    "trainer.enable_progress_bar=false", "model=linear",
]  # fmt: skip

Truth = dict[str, str]  # the given label of each sample, by its name


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the folds in this process, because a new process takes seconds to start."""

    def train_folds(cfg: DictConfig, directory: Path) -> None:
        for fold in range(cfg.folds):
            train(fold_config(cfg, fold), fold_directory(directory, fold))

    monkeypatch.setattr("labelnoise.audit.pool.train_folds", train_folds)


def folders(root: Path, files: Truth, grey: bool = False) -> list[str]:
    """Write an image of its own colour for each file name."""
    for i, name in enumerate(files):
        write_image(root / name, (3 * i % 256, 7 * i % 256, i % 256))
        if grey:
            Image.new("L", (12, 12), 5 * i % 256).save(root / name)
    return ["data=image_folder", f"data.root={json.dumps(str(root))}", "data.image_size=8", *QUICK]


def each(counts: dict[str, int], between: str = "") -> Truth:
    return {f"{name}/{between}{i}.png": name for name, n in counts.items() for i in range(n)}


def table(root: Path, values: np.ndarray, classes: int) -> tuple[list[str], Truth]:
    label = np.arange(len(values)) % classes
    np.savez(root / "table.npz", X=values, y=label)
    words = ["data=features", f"data.path={root / 'table.npz'}", *QUICK]
    return words, {str(i): str(k) for i, k in enumerate(label)}


def rare_class(root: Path) -> tuple[list[str], Truth]:
    files = each({"cat": 12, "dog": 12, "eel": 2})
    return [*folders(root, files), "folds=3"], files


def one_image_class(root: Path) -> tuple[list[str], Truth]:
    files = each({"cat": 8, "dog": 8, "eel": 1})
    return folders(root, files), files


def duplicates(root: Path) -> tuple[list[str], Truth]:
    files = each({"cat": 8, "dog": 8})
    words = folders(root, files)
    for name in ("cat/0.png", "cat/1.png", "dog/0.png"):
        write_image(root / name, (200, 0, 0))
    for name in ("dog/1.png", "dog/2.png"):
        write_image(root / name, (0, 200, 0))
    return words, files


def nested_folders(root: Path) -> tuple[list[str], Truth]:
    files = each({"cat": 6, "dog": 6}, "2024/may/") | each({"cat": 3}, "2025/") | each({"dog": 3})
    return folders(root, files), files


def train_without_test(root: Path) -> tuple[list[str], Truth]:
    files = each({"cat": 6, "dog": 6})
    words = folders(root / "train", files)
    words = [word.replace("/train", "") for word in words]
    return words, {f"train/{name}": label for name, label in files.items()}


def many_classes(root: Path) -> tuple[list[str], Truth]:
    return table(root, np.random.default_rng(0).standard_normal((900, 5)), classes=300)


def one_channel(root: Path) -> tuple[list[str], Truth]:
    files = each({"cat": 8, "dog": 8})
    return [*folders(root, files, grey=True), "model=two_layer_cnn", "model.filters=4"], files


def two_features(root: Path) -> tuple[list[str], Truth]:
    return table(root, np.random.default_rng(0).standard_normal((40, 2)), classes=2)


def constant_features(root: Path) -> tuple[list[str], Truth]:
    return table(root, np.ones((40, 3)) * [1.0, 0.1, 0.0], classes=2)


def unicode_names(root: Path) -> tuple[list[str], Truth]:
    files = each({"g\u00f6tter": 5, "\u732b": 5, "=1+1": 5}) | {
        "\u732b/a, b \u00e9 \U0001f600.png": "\u732b",
        "\u732b/'quoted\".png": "\u732b",
        "=1+1/+x.png": "=1+1",
    }
    return folders(root, files), files


ODD = [
    rare_class, one_image_class, duplicates, nested_folders, train_without_test, many_classes,
    one_channel, two_features, constant_features, unicode_names,
]  # fmt: skip


def plain(cell: str) -> str:
    """The text of a cell, without the apostrophe against formulas."""
    return cell[1:] if cell.startswith(("'=", "'+", "''")) else cell


@pytest.mark.slow
@pytest.mark.parametrize("make", ODD)
def test_every_sample_has_one_row(
    make: Callable[[Path], tuple[list[str], Truth]], tmp_path: Path
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    words, truth = make(root)
    found = audit(compose(words), tmp_path / "audit")
    with (tmp_path / "audit" / "suspects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert Counter(plain(row["sample"]) for row in rows) == Counter(list(truth))
    assert {plain(r["sample"]): plain(r["given_label"]) for r in rows} == truth
    assert [int(row["rank"]) for row in rows] == list(range(1, len(truth) + 1))
    classes = set(truth.values())
    assert all(plain(r["suggested_label"]) in classes - {plain(r["given_label"])} for r in rows)
    assert all(0 <= float(row["probability_wrong"]) <= 1 for row in rows)
    assert found["samples"] == len(truth) and found["truth"] is None
    counts = {name: row["samples"] for name, row in found["by_class"].items()}
    assert counts == Counter(truth.values())
    probability = np.load(tmp_path / "audit" / "probabilities.npy")
    assert probability.shape == (len(truth), len(classes)) and np.isfinite(probability).all()
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-4)
    if make is duplicates:
        assert found["duplicates"]["exact_groups"] == 2
        assert found["duplicates"]["exact_samples"] == 5
        assert found["duplicates"]["exact_conflicting_groups"] == 1
        groups = {row["sample"]: row["duplicate"] for row in rows if row["duplicate"]}
        assert len(groups) == 5 and groups["cat/0.png"] == groups["dog/0.png"]


def test_a_line_names_the_classes_with_fewer_samples_than_folds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words, _ = rare_class(tmp_path / "images")
    with caplog.at_level("WARNING", "labelnoise"):
        audit(compose(words), tmp_path / "audit")
    (line,) = [r.getMessage() for r in caplog.records if "folds" in r.getMessage()]
    assert "there are 3 folds, but fewer samples of 'eel' (2): they are in different" in line
