"""The baseline of an audit, against a slow reference, and what it does to the files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from sklearn.linear_model import LogisticRegression

from labelnoise.audit import baseline as module
from labelnoise.audit.audit import audit
from labelnoise.audit.config import compose, fold_config
from labelnoise.audit.folds import fold_directory
from labelnoise.errors import InputError
from labelnoise.training.train import train

QUICK = [
    "folds=2", "max_epochs=1", "optimizer.lr=0.01", "batch_size=20", "threads=1",
    "trainer.enable_progress_bar=false", "model=linear", "baseline=true",
]  # fmt: skip


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def train_folds(cfg: DictConfig, directory: Path) -> None:
        for fold in range(cfg.folds):
            train(fold_config(cfg, fold), fold_directory(directory, fold))

    monkeypatch.setattr("labelnoise.audit.pool.train_folds", train_folds)


def test_its_column_is_the_prediction_out_of_fold_and_not_the_rank(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = np.arange(60) % 3
    values = rng.normal(size=(60, 4)) + 3 * np.eye(4)[label]
    given = np.where(np.arange(60) % 7 == 0, (label + 1) % 3, label)
    np.savez(tmp_path / "table.npz", X=values, y=given)
    words = ["data=features", f"data.path={tmp_path / 'table.npz'}", *QUICK]
    found = audit(compose(words), tmp_path / "audit")
    with (tmp_path / "audit" / "suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scaled = (values - values.mean(0)) / values.std(0)
    fold = {int(row["sample"]): int(row["fold"]) for row in rows}
    held = np.array([fold[i] for i in range(60)])
    for row in rows:
        i = int(row["sample"])
        known = held != held[i]
        model = LogisticRegression(max_iter=1000).fit(scaled[known], given[known])
        expected = 1 - model.predict_proba(scaled[i : i + 1])[0, given[i]]
        assert float(row["baseline"]) == pytest.approx(expected, abs=1e-4)
    losses = [float(row["margin_loss"]) for row in rows]
    assert losses == sorted(losses, reverse=True)
    assert found["baseline"]["out_of_fold_accuracy"] > 0.7
    assert found["baseline"]["average_precision"] is None  # the true labels are unknown
    assert -1 <= found["baseline"]["rank_correlation"] <= 1


def test_images_by_histograms_of_gradients(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    words = ["data=digits", "noise=symmetric", "noise_rate=0.2", "data.per_class=20", *QUICK]
    found = audit(compose(words), tmp_path / "audit")
    assert found["baseline"]["out_of_fold_accuracy"] > 0.5
    assert found["baseline"]["average_precision"] > 0.6
    stored = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert stored["baseline"] == found["baseline"]


def test_images_without_scikit_image_are_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    words = ["data=digits", "noise=symmetric", "noise_rate=0.2", "data.per_class=9", *QUICK]
    with pytest.raises(InputError, match="baseline=true needs scikit-image .*pip install") as error:
        audit(compose(words), tmp_path / "audit")
    assert "\n" not in str(error.value) and not list((tmp_path / "audit").glob("fold_*"))


def test_predictions_have_no_features(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.full((4, 2), 0.5))
    words = ["data=predictions", f"data.probabilities={tmp_path / 'p.npy'}", "data.labels=l.npy"]
    with pytest.raises(InputError, match="baseline=true needs samples"):
        audit(compose([*words, "baseline=true"]), tmp_path / "audit")


def test_a_fold_without_two_classes_outside_it_predicts_the_only_class() -> None:
    classes, predicted = module._fit(np.zeros((3, 1)), np.array([2, 2, 2]), np.zeros((2, 1)))
    assert classes.tolist() == [2] and predicted.tolist() == [[1.0], [1.0]]
