"""The record of a draw: its quantities and its file."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from labelnoise.errors import InputError
from labelnoise.noise import NoiseRecord
from labelnoise.noise.matrices import symmetric_matrix
from tests.conftest import present

CLEAN = [0, 0, 0, 1, 1, 2]
LABEL = [0, 1, 2, 1, 0, 2]


def make(**changes: Any) -> NoiseRecord:
    record = NoiseRecord(
        kind="symmetric",
        seed=7,
        rate_requested=0.5,
        matrix_requested=symmetric_matrix(4, 0.5),
        clean_label=torch.tensor(CLEAN),
        label=torch.tensor(LABEL),
        num_classes=4,
    )
    return replace(record, **changes)


def test_realised_quantities_by_hand() -> None:
    record = make()
    assert record.is_noisy.tolist() == [False, True, True, False, True, False]
    assert record.rate_realised == 0.5
    assert present(record.per_class_rates).tolist() == pytest.approx([2 / 3, 1 / 2, 0, 0])
    third = 1 / 3
    expected = [[third, third, third, 0], [0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    for row, wanted in zip(present(record.transition_matrix).tolist(), expected, strict=True):
        assert row == pytest.approx(wanted)


def test_a_record_of_no_samples_has_rate_zero() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    record = make(clean_label=none, label=none)
    assert record.rate_realised == 0.0
    assert "0 of 0" in record.describe()


def test_fingerprint_is_sha256_of_little_endian_int64() -> None:
    numbers = [4, *CLEAN, *LABEL]
    expected = hashlib.sha256(struct.pack(f"<{len(numbers)}q", *numbers)).hexdigest()[:16]
    assert make().fingerprint == expected
    narrow = make(label=torch.tensor(LABEL, dtype=torch.int32))
    assert narrow.fingerprint == expected
    assert make(seed=8, kind="file", rate_requested=None).fingerprint == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"num_classes": 5, "matrix_requested": None},
        {"label": torch.tensor([0, 1, 2, 1, 0, 3])},
        {"clean_label": torch.tensor([0, 0, 0, 1, 1, 3])},
    ],
)
def test_fingerprint_tells_labels_apart(changes: dict) -> None:
    assert make(**changes).fingerprint != make().fingerprint


def test_summary_survives_json() -> None:
    summary = make().summary()
    assert list(summary) == [
        "kind",
        "truth",
        "seed",
        "rate_requested",
        "rate_realised",
        "per_class_rates",
        "transition_matrix",
        "matrix_requested",
        "dropped_outside_classes",
        "fingerprint",
    ]
    assert json.loads(json.dumps(summary)) == summary
    assert summary["transition_matrix"][0] == [0.333333, 0.333333, 0.333333, 0.0]
    assert summary["matrix_requested"][0] == [0.5, 0.166667, 0.166667, 0.166667]
    assert summary["per_class_rates"] == [0.666667, 0.5, 0.0, 0.0]
    assert make(matrix_requested=None).summary()["matrix_requested"] is None


def test_describe_is_one_line_with_what_matters() -> None:
    line = make().describe()
    assert "\n" not in line
    for word in ("symmetric", "requested 50.00%", "realised 50.00%", "3 of 6", "seed 7"):
        assert word in line
    assert make().fingerprint in line
    assert "asked" not in make(rate_requested=None).describe()
    assert "dropped" not in line
    assert "3245 samples dropped" in make(dropped_outside_classes=3245).describe()


def test_a_record_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        make().kind = "none"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"label": torch.tensor([0, 1])}, "2 labels for 6"),
        ({"label": torch.tensor([0, 1, 2, 1, 0, 4])}, "outside 0..3"),
        ({"clean_label": torch.tensor([0.0] * 6)}, "float32"),
        ({"source_index": torch.arange(5)}, "5 places"),
    ],
)
def test_a_record_refuses_labels_that_cannot_be(changes: dict, word: str) -> None:
    # Where types are checked at run time, the shapes in them refuse it first.
    with pytest.raises((InputError, TypeCheckError)) as error:
        make(**changes)
    assert word in str(error.value) or isinstance(error.value, TypeCheckError)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"seed": None, "rate_requested": None, "matrix_requested": None},
        {"dropped_outside_classes": 4, "source_index": torch.arange(6) * 3},
    ],
)
def test_save_then_load_is_the_same_record(tmp_path: Path, changes: dict) -> None:
    record = make(**changes)
    record.save(tmp_path / "noise.npz")
    loaded = NoiseRecord.load(str(tmp_path / "noise.npz"))
    assert loaded.summary() == record.summary()
    assert (loaded.kind, loaded.seed, loaded.num_classes) == (record.kind, record.seed, 4)
    assert torch.equal(loaded.label, record.label)
    assert torch.equal(present(loaded.clean_label), present(record.clean_label))
    assert (loaded.source_index is None) == (record.source_index is None)
    if record.source_index is not None:
        assert torch.equal(present(loaded.source_index), record.source_index)
    assert [file.name for file in tmp_path.iterdir()] == ["noise.npz"]


@pytest.mark.parametrize(
    ("kind", "truth"), [("symmetric", "made"), ("human", "given"), ("csv", "unknown")]
)
def test_a_record_of_an_earlier_version_dropped_nothing(
    tmp_path: Path, kind: str, truth: str
) -> None:
    make(kind=kind).save(tmp_path / "noise.npz")
    with np.load(tmp_path / "noise.npz") as arrays:
        older = {k: v for k, v in arrays.items() if k not in ("dropped_outside_classes", "truth")}
    np.savez(tmp_path / "older.npz", **older)
    loaded = NoiseRecord.load(tmp_path / "older.npz")
    assert loaded.truth == truth
    expected = make(kind=kind, **({"clean_label": None} if truth == "unknown" else {}), truth=truth)
    assert loaded.summary() == expected.summary()


def test_a_record_of_unknown_truth_has_no_rates(tmp_path: Path) -> None:
    record = make(source_index=torch.arange(6)).without_truth()
    assert (record.truth, record.truth_known, record.clean_label) == ("unknown", False, None)
    assert record.rate_realised is record.per_class_rates is record.transition_matrix is None
    summary = record.summary()
    for key in ("seed", "rate_requested", "rate_realised", "per_class_rates",
                "transition_matrix", "matrix_requested"):  # fmt: skip
        assert summary[key] is None, key
    line = record.describe()
    assert "6 labels as given, the true labels are unknown" in line and "%" not in line
    expected = hashlib.sha256(struct.pack("<7q", 4, *LABEL)).hexdigest()[:16]
    assert record.fingerprint == expected and expected in line
    record.save(tmp_path / "noise.npz")
    with np.load(tmp_path / "noise.npz") as arrays:
        assert "clean_label" not in arrays
    loaded = NoiseRecord.load(tmp_path / "noise.npz")
    assert loaded.summary() == summary and torch.equal(loaded.label, record.label)


@pytest.mark.parametrize(
    "changes", [{"truth": "unknown"}, {"clean_label": None}, {"truth": "people"}]
)
def test_a_record_has_true_labels_where_it_says_so(changes: dict) -> None:
    with pytest.raises((InputError, TypeCheckError)):
        make(**changes)


def test_a_save_that_dies_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "noise.npz"
    make().save(path)

    def die(file: IO[bytes], **arrays: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", die)
    with pytest.raises(KeyboardInterrupt):
        make(seed=8).save(path)
    assert NoiseRecord.load(path).seed == 7
    assert [file.name for file in tmp_path.iterdir()] == ["noise.npz"]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        NoiseRecord.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_load_refuses_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path / "noise.npz")
    assert "is not a file" in refusal(tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_load_refuses_a_truncated_file(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "noise.npz"
    make().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert "cannot be read" in refusal(path)


def test_load_refuses_a_flipped_bit(tmp_path: Path) -> None:
    path = tmp_path / "noise.npz"
    make().save(path)
    whole = bytearray(path.read_bytes())
    labels = struct.pack("<6q", *LABEL)
    whole[whole.index(labels) + 8] ^= 2
    path.write_bytes(whole)
    assert "cannot be read" in refusal(path)


def test_load_lists_what_a_foreign_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, weights=np.zeros(3), label=np.zeros(3, dtype=np.int64))
    message = refusal(path)
    assert "has weights, label and lacks kind, num_classes, clean_label" in message
    np.savez(path, kind="x", num_classes=2, clean_label=np.zeros(3), label=np.zeros(3))
    assert "has the arrays kind, num_classes, clean_label, label" in refusal(path)


def test_load_runs_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "noise.npz"
    np.savez(path, kind="x", num_classes=2, clean_label=np.array([{}]), label=np.zeros(1))
    assert "cannot be read" in refusal(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    assert "cannot be read" in refusal(tmp_path / "one.npy")
    (tmp_path / "text.npz").write_text("label\n0\n")
    assert "cannot be read" in refusal(tmp_path / "text.npz")
