"""Your own features: standardized by training rows, with given and true labels, and names."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import compose
from labelnoise.data.features import FeaturesDataModule
from labelnoise.errors import InputError
from labelnoise.noise import InstanceDependentNoise, LabelNoise, NoNoise, SymmetricNoise
from labelnoise.training.train import train
from tests.conftest import present
from tests.tables import NAMES, clouds, names, write_both, write_csv

QUICK = (
    "data=features", "model.widths=[8]", "batch_size=20", "max_epochs=3", "threads=1",
    "trainer.enable_progress_bar=false", "logger=none", "figures=false",
)  # fmt: skip


def module(noise: LabelNoise | None = None, **options: Any) -> FeaturesDataModule:
    data = FeaturesDataModule(NoNoise() if noise is None else noise, batch_size=20, **options)
    data.setup()
    return data


def test_columns_are_standardized_by_the_training_split_alone(tmp_path: Path) -> None:
    path, test_path = write_both(tmp_path)
    data = module(SymmetricNoise(0.2), path=path, test_path=test_path, val_fraction=0.25)
    values, label = clouds(60)
    rows = values[data.train.source_index.numpy()]
    assert len(rows) == 45
    parts = {"train": rows, "val": values[present(data.val).source_index.numpy()]}
    for name, raw in {**parts, "test": clouds(30, 1)[0]}.items():
        found = present(getattr(data, name)).batch().input
        assert found.dtype == torch.float32
        expected = (raw - rows.mean(0)) / rows.std(0)
        np.testing.assert_allclose(found.numpy(), expected, atol=2e-4)
    assert data.input_shape == (4,) and data.class_names == NAMES
    assert np.array_equal(present(data.noise_record.clean_label), label)


def test_a_constant_feature_becomes_zero_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values, label = clouds(30)
    values[:, 1] = 0.1
    varied = values.copy()
    varied[:, 1] = np.arange(30)
    path = write_csv(tmp_path / "a.csv", values, {"label": names(label)})
    test_path = write_csv(tmp_path / "b.csv", varied, {"label": names(label)})
    with caplog.at_level(logging.WARNING):
        data = module(path=path, test_path=test_path)
    assert "1 of 4 features are constant in the training split and count as 0: x1" in caplog.text
    for split in (data.train, data.test):
        input = present(split).batch().input
        assert not input[:, 1].any() and input[:, 0].any() and input.isfinite().all()


def test_given_and_true_labels_of_one_file_with_ids_and_a_split(tmp_path: Path) -> None:
    values, label = clouds(60)
    given = np.where(np.arange(60) % 10 == 0, (label + 1) % 3, label)
    np.savez(
        tmp_path / "a.npz", X=values, y=given * 10 - 5, clean=label * 10.0 - 5,
        split=np.where(np.arange(60) < 40, "train", "test"), id=np.arange(60) + 500,
    )  # fmt: skip
    data = module(path=tmp_path / "a.npz")
    record = data.noise_record
    assert data.class_names == ("-5", "5", "15")
    assert np.array_equal(record.label, given[:40]) and record.truth == "given"
    assert np.array_equal(present(record.clean_label), label[:40]) and record.kind == "table"
    test = present(data.test)
    assert np.array_equal(test.label, given[40:]) and np.array_equal(test.clean_label, label[40:])
    assert data.sample_names(torch.tensor([0, 39])) == ["500", "539"]
    with pytest.raises(InputError, match="noise=symmetric takes the given labels for true"):
        module(SymmetricNoise(0.2), path=tmp_path / "a.npz")
    with pytest.raises(InputError, match="data.truth=labels takes the given labels for true"):
        module(path=tmp_path / "a.npz", truth="labels")


@pytest.mark.parametrize(
    ("noise", "truth", "expected"),
    [
        (NoNoise(), "unknown", "unknown"),
        (NoNoise(), "labels", "made"),
        (SymmetricNoise(0.2), "unknown", "made"),
    ],
)
def test_labels_are_of_unknown_truth_unless_declared_or_flipped(
    noise: LabelNoise, truth: str, expected: str, tmp_path: Path
) -> None:
    path, test_path = write_both(tmp_path)
    data = module(noise, path=path, test_path=test_path, truth=truth)
    assert data.noise_record.truth == expected
    assert present(data.test).truth_known == (expected != "unknown")


def test_instance_noise_does_not_depend_on_the_units_of_the_columns(tmp_path: Path) -> None:
    values, label = clouds(60)
    labels = []
    for scale in (1, 1000):
        path = write_csv(tmp_path / f"{scale}.csv", values * scale, {"label": names(label)})
        noise = InstanceDependentNoise(0.4, seed=1)
        data = module(noise, path=path, test_path=path)
        labels.append(data.noise_record.label)
    assert torch.equal(*labels) and 10 < int(data.noise_record.is_noisy.sum()) < 40


def test_without_test_rows_there_is_no_test_split(tmp_path: Path) -> None:
    path, _ = write_both(tmp_path)
    assert module(path=path).test is None
    summary = train(compose([*QUICK, f"data.path={path}"]), tmp_path / "run")
    assert summary["final"]["test/acc"] is None


def test_a_run_learns_the_clouds_and_names_the_suspects(tmp_path: Path) -> None:
    path, test_path = write_both(tmp_path, n=120)
    words = (f"data.path={path}", f"data.test_path={test_path}", "noise=symmetric", "max_epochs=10")
    summary = train(compose([*QUICK, *words, "optimizer.lr=0.02"]), tmp_path / "run")
    assert summary["final"]["test/acc"] > 0.8
    rows = (tmp_path / "run" / "suspects.csv").read_text().splitlines()[1:]
    assert len(rows) == 108 and summary["suspects"]["auc"]["aum"] > 0.8
    assert {row.split(",")[2] for row in rows} == set(NAMES)


def chosen(group: str) -> list[str]:
    """The choices of a group that are for features."""
    names = sorted(path.stem for path in (CONF_DIR / group).glob("*.yaml"))
    return [f"{group}={name}" for name in names if name not in ("none", "coefficients")]


@pytest.mark.slow
@pytest.mark.parametrize("word", [*chosen("technique"), *chosen("monitor")])
@pytest.mark.parametrize("network", ["mlp", "two_layer_cnn"])
def test_techniques_and_monitors_take_features(network: str, word: str, tmp_path: Path) -> None:
    path, test_path = write_both(tmp_path)
    words = [w for w in QUICK if not w.startswith("model.")]
    words += [f"data.path={path}", f"data.test_path={test_path}", "noise=symmetric"]
    summary = train(compose([*words, f"model={network}", word]), tmp_path / "run")
    assert np.isfinite(summary["final"]["test/acc"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x0": "x9"}, "4 features but .* 4: x0 is missing and x9 is new"),
        ({",x3": "", "label": "label"}, "3 features but .* has 4: x3 is missing and nothing is"),
        ({"cat,": "cow,"}, "10 labels that are no class of the training rows, .* is 'cow'; .* eel"),
    ],
)
def test_another_test_file_is_refused(change: dict[str, str], message: str, tmp_path: Path) -> None:
    path, test_path = write_both(tmp_path)
    text = test_path.read_text()
    if ",x3" in change:
        text = "\n".join(line.rpartition(",")[0] for line in text.splitlines())
    for old, new in change.items():
        text = text.replace(old, new)
    test_path.write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        module(path=path, test_path=test_path)
    assert "\n" not in str(raised.value)


def test_two_test_sets_are_refused(tmp_path: Path) -> None:
    values, label = clouds(6)
    words = {"label": names(label), "split": ["train", "test"] * 3}
    path = write_csv(tmp_path / "a.csv", values, words)
    with pytest.raises(InputError, match="would be a second test set"):
        module(path=path, test_path=path)
    only = write_csv(tmp_path / "b.csv", values, {**words, "split": ["test"] * 6})
    with pytest.raises(InputError, match="no row with split=train"):
        module(path=only)


def test_the_fingerprint_is_that_of_both_files(tmp_path: Path) -> None:
    path, test_path = write_both(tmp_path)
    data = FeaturesDataModule(NoNoise(), path=path, test_path=test_path)
    before = data.sources()
    assert set(before) == {"data.path", "data.test_path"}
    test_path.write_text(test_path.read_text() + "\n")
    assert data.sources()["data.path"] == before["data.path"]
    assert data.sources()["data.test_path"] != before["data.test_path"]


@pytest.mark.parametrize("network", ["cnn", "resnet18", "vgg11"])
def test_networks_for_images_name_those_for_features(network: str, tmp_path: Path) -> None:
    path, test_path = write_both(tmp_path)
    words = ("data=features", f"data.path={path}", f"data.test_path={test_path}")
    with pytest.raises(InputError, match="are rows of features: choose model=mlp, model=linear"):
        train(compose([*words, f"model={network}"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
