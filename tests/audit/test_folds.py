"""Audits of digits: the folds, what is joined from them, and what bad input gets."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from labelnoise.audit.audit import audit
from labelnoise.audit.config import compose, fold_config, jobs_of
from labelnoise.audit.fold_evidence import evidence_of_folds
from labelnoise.audit.folds import fold_directory
from labelnoise.data.batch import Split
from labelnoise.dynamics.log import DynamicsLog
from labelnoise.errors import InputError
from labelnoise.processes.devices import gpu_of, gpus_of
from labelnoise.training.building import data_to_read
from labelnoise.training.train import train
from tests.conftest import present

WORDS = [
    "data=digits", "noise=symmetric", "noise_rate=0.2", "data.per_class=9", "folds=3",
    "max_epochs=3", "optimizer.lr=0.003", "trainer.enable_progress_bar=false",
]  # fmt: skip


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folds of an audit, trained in this process."""
    path = tmp_path_factory.mktemp("audit")
    for fold in range(3):
        train(fold_config(compose(WORDS), fold), fold_directory(path, fold))
    return path


def test_every_sample_is_judged_by_the_network_that_has_not_seen_it(trained: Path) -> None:
    evidence = evidence_of_folds(trained, 3)
    assert len(evidence.label) == 90 and len(set(evidence.source_index.tolist())) == 90
    whole = data_to_read(fold_config(compose(WORDS), 0))
    whole.setup("fit")
    parts: list[Split] = [whole.train, present(whole.val)]
    given = {int(i): int(k) for s in parts for i, k in zip(s.source_index, s.label, strict=True)}
    found = dict(zip(evidence.source_index.tolist(), evidence.label.tolist(), strict=True))
    assert found == given
    for fold in range(3):
        with np.load(fold_directory(trained, fold) / "held_out.npz") as held:
            place = np.searchsorted(evidence.source_index, held["source_index"])
            np.testing.assert_array_equal(evidence.probability[place], held["probability"])
            assert (evidence.fold[place] == fold).all()
        with np.load(fold_directory(trained, fold) / "dynamics" / "samples.npz") as samples:
            assert not set(samples["source_index"]) & set(held_indices(trained, fold))


def held_indices(path: Path, fold: int) -> list[int]:
    with np.load(fold_directory(path, fold) / "held_out.npz") as held:
        return list(held["source_index"])


def test_the_dynamics_are_means_over_the_networks_that_trained_on_a_sample(trained: Path) -> None:
    evidence = evidence_of_folds(trained, 3)
    terms: dict[int, list[float]] = {}
    for fold in range(3):
        folder = fold_directory(trained, fold) / "dynamics"
        with np.load(folder / "samples.npz") as samples:
            index = samples["source_index"].tolist()
        margin = np.stack([np.asarray(row.margin, dtype=float) for row in DynamicsLog(folder)])
        for i, column in zip(index, margin.T, strict=True):
            terms.setdefault(i, []).append(float(np.log1p(np.exp(-column)).mean()))
    expected = [np.mean(terms[i]) for i in evidence.source_index.tolist()]
    assert {len(each) for each in terms.values()} == {2}
    np.testing.assert_allclose(evidence.suspicion, expected)
    np.testing.assert_allclose(evidence.dynamics["margin_loss"], expected)


def test_a_fold_without_files_or_with_other_samples_is_refused(
    trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="fold_3 holds no finished run"):
        evidence_of_folds(trained, 4)
    with pytest.raises(InputError, match="the folds in .* have different samples"):
        evidence_of_folds(trained, 2)


def test_the_monitors_that_an_audit_reads_are_added() -> None:
    run = fold_config(compose(["data=digits", "monitor=memorization"]), 1)
    assert list(run.monitor) == ["memorization", "dynamics", "held_out"]
    assert OmegaConf.to_container(run.data.fold) == [1, 5] and "folds" not in run


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["data=digits", "folds=1"], "folds must be a whole number from 2 to 100, got 1"),
        (["data=digits", "jobs=0"], "jobs must be"),
        (["data=digits", "data.fold=[0,5]"], "data.fold cannot be set"),
        (["data=digits", "resume=x"], "resume= is for run.py"),
        (["data=signal_noise"], "has no pool of samples that can be divided into folds"),
        ([], "data.root has no default"),
    ],
    ids=str,
)
def test_bad_input(words: Sequence[str], line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=line):
        audit(compose(words), tmp_path / "audit")
    assert not (tmp_path / "audit").exists()


@pytest.mark.slow
def test_an_audit_leaves_one_row_for_every_sample_and_repeats_its_results(tmp_path: Path) -> None:
    found = audit(compose(WORDS), tmp_path / "audit", ["data=digits"])
    with (tmp_path / "audit" / "suspects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["rank"]) for row in rows] == list(range(1, 91))
    assert len({row["sample"] for row in rows}) == 90
    wrong = [float(row["probability_wrong"]) for row in rows]
    assert wrong == sorted(wrong, reverse=True)
    assert found["truth"]["noise_rate"] == pytest.approx(0.2)
    assert found["not_audited"] == {"test": 500, "outside_classes": 0}
    again = audit(compose([*WORDS, "jobs=1"]), tmp_path / "audit")
    assert again == found
    another = audit(compose([*WORDS, "jobs=1"]), tmp_path / "another")
    assert timeless(another) == timeless(found)
    for name_of_file in ("suspects.csv", "probabilities.npy"):
        same = [(tmp_path / name / name_of_file).read_bytes() for name in ("audit", "another")]
        assert same[0] == same[1]
    with pytest.raises(InputError, match="holds another run"):
        audit(compose([*WORDS, "seed=1"]), tmp_path / "audit")
    metrics = tmp_path / "audit" / "fold_1" / "metrics.csv"
    before = metrics.read_bytes()
    shutil.rmtree(metrics.parent)
    assert audit(compose(WORDS), tmp_path / "audit") == found
    assert metrics.read_bytes() == before
    metrics.write_text("")
    with pytest.raises(InputError, match=r"fold_1/metrics\.csv is damaged"):
        audit(compose(WORDS), tmp_path / "audit")
    (tmp_path / "another" / "suspects.csv").write_text("")
    with pytest.raises(InputError, match=r"suspects\.csv is damaged"):
        audit(compose(WORDS), tmp_path / "another")


def timeless(found: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(found))
    return {k: v for k, v in plain.items() if k not in ("seconds", "overrides")}


def test_the_folds_share_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = compose(["data=digits", "trainer=gpu"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_of(cfg) == ["0", "1"] and jobs_of(cfg, 2) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7,9")
    assert gpu_of(4, gpus_of(cfg)) == {"CUDA_VISIBLE_DEVICES": "7"}
    assert gpus_of(compose(["data=digits"])) == []
    assert jobs_of(compose(["data=digits", "jobs=9", "folds=3"])) == 3
