"""Audits of predictions from elsewhere: what is read, and what bad files get."""

from __future__ import annotations

import csv
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from labelnoise.audit.audit import audit
from labelnoise.audit.config import compose
from labelnoise.audit.predictions import Predictions
from labelnoise.config.command_line import explain
from labelnoise.errors import InputError
from tests.folders import one_line

N, K = 60, 3


def logits(epochs: int = 1, classes: int = K, dtype: Any = np.float64) -> NDArray[Any]:
    """Networks that agree with LABEL % classes for most samples."""
    rng = np.random.default_rng(0)
    found = rng.standard_normal((epochs, N, classes))
    found[:, np.arange(N), LABEL % classes] += 2.5
    return found.astype(dtype)


LABEL = np.random.default_rng(1).integers(K, size=N)


def softmax(values: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(values)
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def words(folder: Path, probabilities: Any = None, labels: Any = None, *more: str) -> list[str]:
    """The options of an audit of two files; labels are an array, or the bytes of a CSV file."""
    np.save(folder / "p.npy", softmax(logits()[0]) if probabilities is None else probabilities)
    label = folder / ("labels.csv" if isinstance(labels, bytes) else "labels.npy")
    if isinstance(labels, bytes):
        label.write_bytes(labels)
    else:
        np.save(label, LABEL if labels is None else labels)
    files = [f"data.probabilities={folder / 'p.npy'}", f"data.labels={label}"]
    return ["data=predictions", *files, "trainer.enable_progress_bar=false", *more]


def predictions(folder: Path, probabilities: Any = None, labels: Any = None, **options: Any) -> Any:
    _, first, second, *_ = words(folder, probabilities, labels)
    first, second = first.partition("=")[2], second.partition("=")[2]
    return Predictions(probabilities=first, labels=second, **options)


def lines(label: Any, end: str = "\n", names: Any = None, header: str = "label") -> bytes:
    cells = [str(k) if names is None else names[k] for k in label]
    return (end.join([header, *cells]) + end).encode()


def changed(row: int, values: Any) -> NDArray[Any]:
    found = softmax(logits()[0])
    found[row] = values
    return found


SWAPPED = softmax(logits()[0])[:, [1, 2, 0]]
BAD: dict[str, tuple[Any, Any, tuple[str, ...], str]] = {
    "sums": (changed(7, [0.5, 0.4, 0.2]), None, (), "1 rows that do not sum to 1, .* row 7; .*log"),
    "logits": (logits()[0], None, (), "rows with a number below 0, .*data.kind=logits"),
    "negative": (changed(3, [1.2, -0.2, 0]), None, (), "1 rows with a number below 0, .* row 3"),
    "nan": (changed(9, np.nan), None, (), "1 rows with numbers that are not finite, .* row 9"),
    "infinite": (changed(0, np.inf), None, ("data.kind=logits",), "not finite"),

    "short": (softmax(logits()[0])[:-1], None, (), "has 60 labels but .* has 59 rows"),
    "order": (SWAPPED, None, (), "if its columns are 1, 2, 0: write the class of each column"),
    "names": (
        SWAPPED, None, ("data.classes=[a,b,c]",), r"columns are b, c, a: .*data.classes=\[b,c,a\]",
    ),
    "one class": (None, np.ones(N, dtype=int), (), "gives all 60 samples one class, '1'"),
    "one column": (np.ones((N, 1)), None, (), "has the shape 60 x 1; write n x K"),
    "flat": (np.ones(N), None, (), "has the shape 60; write n x K"),
    "one number": (np.array(1.0), None, (), "has the shape of one number; write n x K"),
    "four axes": (np.ones((2, 2, N, K)), None, (), "has the shape 2 x 2 x 60 x 3"),
    "empty": (np.ones((0, K)), None, (), "has the shape 0 x 3"),
    "no epochs": (np.ones((0, N, K)), None, (), "has the shape 0 x 60 x 3"),
    "integers": (np.eye(K, dtype=int)[LABEL], None, (), "numbers of type int64; write floating"),
    "complex": (softmax(logits()[0]) + 0j, None, (), "numbers of type complex128"),
    "outside": (None, np.where(LABEL == 2, 3, LABEL), (), "labels outside 0 to 2"),
    "below": (None, np.where(LABEL == 2, -1, LABEL), (), "labels outside 0 to 2"),
    "float labels": (None, LABEL.astype(float), (), "write n whole numbers"),
    "table": (None, LABEL[:, None], (), "has int64 of 2 dimensions; write n whole numbers"),
    "words": (None, lines(LABEL, names="xyz"), (), "has the labels x, y, z; .*data.classes="),
    "padded": (None, lines(LABEL, names=["00", "01", "02"]), (), "labels 00, 01, 02; .*classes="),
    "unknown": (None, lines(LABEL, names="xyz"), ("data.classes=[x,y,w]",), "neither a name nor"),
    "two names": (None, None, ("data.classes=[a,b]",), "3 columns; write one name for each"),
    "equal names": (None, None, ("data.classes=[a,b,b]",), "data.classes names b twice"),
    "no column": (None, lines(LABEL, header="class"), (), "has no column label"),
    "ragged": (None, b"label\n0\n1,2\n", (), "line 3 has 2 cells, not 1"),
    "header": (None, b"label\n", (), "has 0 labels but"),
    "nothing": (None, b"", (), "has no column label"),
    "kind": (None, None, ("data.kind=odds",), "data.kind must be one of .*, got odds"),
}  # fmt: skip


@pytest.mark.parametrize(("array", "labels", "more", "line"), BAD.values(), ids=BAD)
def test_bad_files_get_one_line_and_leave_no_directory(
    array: Any, labels: Any, more: tuple[str, ...], line: str, tmp_path: Path
) -> None:
    cfg = compose(words(tmp_path, array, labels, *more))
    with pytest.raises(Exception, match=line) as error:
        audit(cfg, tmp_path / "audit")
    found = explain(error.value)
    assert found is not None and "\n" not in found
    assert not (tmp_path / "audit").exists()


def test_files_that_are_missing_pickled_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    def refused(line: str, probabilities: str = "p.npy", labels: str = "labels.npy") -> None:
        files = [f"data.probabilities={tmp_path / probabilities}"]
        files.append(f"data.labels={tmp_path / labels}")
        with pytest.raises(InputError, match=line) as error:
            audit(compose(["data=predictions", *files]), tmp_path / "audit")
        one_line(error)
        assert not (tmp_path / "audit").exists()

    words(tmp_path)
    np.save(tmp_path / "pickled.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "archive.npz", softmax(logits()[0]))
    (tmp_path / "torn.npy").write_bytes((tmp_path / "p.npy").read_bytes()[:-8])
    (tmp_path / "folder.csv").mkdir()
    refused("absent.npy", probabilities="absent.npy")
    refused("absent.npy", labels="absent.npy")
    refused("absent.csv", labels="absent.csv")
    refused("pickled.npy cannot be read", probabilities="pickled.npy")
    refused("pickled.npy cannot be read", labels="pickled.npy")
    refused("archive.npz is an archive of arrays", probabilities="archive.npz")
    refused("torn.npy cannot be read", probabilities="torn.npy")
    refused("folder.csv", labels="folder.csv")
    refused("p.npy", labels="p.npy")


def test_logits_and_epochs_are_read_by_the_formulas(tmp_path: Path) -> None:
    values = logits(epochs=4)
    found = predictions(tmp_path, values, kind="logits").evidence()
    exact = torch.softmax(torch.from_numpy(values), 2).mean(0)
    np.testing.assert_allclose(found.probability, exact, rtol=1e-5)
    expected = np.zeros(N)
    for i, k in enumerate(LABEL):
        for epoch in values:
            margin = epoch[i, k] - max(epoch[i, j] for j in range(K) if j != k)
            expected[i] += np.log1p(np.exp(-margin)) / len(values)
    np.testing.assert_allclose(found.suspicion, expected, rtol=1e-4)
    same = predictions(tmp_path, softmax(values)).evidence()
    np.testing.assert_allclose(same.probability, found.probability, rtol=1e-5)
    np.testing.assert_allclose(same.suspicion, found.suspicion, rtol=1e-4)
    shifted = predictions(tmp_path, values + 1e6, kind="logits").evidence()  # exact in float64 only
    np.testing.assert_allclose(shifted.probability, exact, rtol=1e-4)
    half = predictions(tmp_path, values.astype(np.float16), kind="logits").evidence()
    np.testing.assert_allclose(half.probability, exact, rtol=5e-3)


def test_labels_in_a_table_are_read_with_their_names(tmp_path: Path) -> None:
    expected = predictions(tmp_path).evidence()

    def same(labels: bytes, classes: Any = None) -> Any:
        found = predictions(tmp_path, None, labels, classes=classes).evidence()
        assert found.label.tolist() == LABEL.tolist()
        np.testing.assert_array_equal(found.suspicion, expected.suspicion)
        return found

    assert same(b"\xef\xbb\xbf" + lines(LABEL, "\r\n")).name.tolist() == [str(i) for i in range(N)]
    same(lines(LABEL, names=[" 0", "1 ", '" 2"']))
    animals = ["cat", "d\u00f4g", "0"]
    found = same(lines(LABEL, names=["cat", "do\u0302g", "0"]), animals)
    assert found.class_names.tolist() == animals
    same(lines(LABEL, names=["01", "02", "10"]), ["01", "02", "10"])
    same(lines(LABEL, names="123"), ["01", "02", "03"])
    table = "label,sample\n" + "".join(f"{k},image {i}.png\n" for i, k in enumerate(LABEL))
    assert same(table.encode()).name.tolist() == [f"image {i}.png" for i in range(N)]


def test_numbers_in_an_array_are_names_first(tmp_path: Path) -> None:
    found = predictions(tmp_path, SWAPPED, classes=["1", "2", "0"]).evidence()
    assert [found.class_names[k] for k in found.label] == [str(k) for k in LABEL]
    found = predictions(tmp_path, None, LABEL + 1, classes=["1", "2", "3"]).evidence()
    assert found.label.tolist() == LABEL.tolist()
    with pytest.raises(InputError, match="can be read in two ways"):
        predictions(tmp_path, None, LABEL, classes=["1", "2", "3"]).evidence()


def test_class_numbers_beside_class_names_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        predictions(tmp_path, None, lines(LABEL), classes=["cat", "dog", "eel"]).evidence()
    assert "labels are read as numbers from 0: " in caplog.text and "is cat" in caplog.text


def test_networks_that_guess_are_not_said_to_have_another_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for classes in (2, 3, 30):
        label = rng.integers(classes, size=N)
        guesses = softmax(rng.standard_normal((N, classes)))
        predictions(tmp_path, guesses, label).evidence()
    constant = np.tile([0.6, 0.4], (N, 1))
    predictions(tmp_path, constant, (np.arange(N) % 5 > 0).astype(int)).evidence()


def test_an_audit_of_predictions_writes_a_row_for_every_label(tmp_path: Path) -> None:
    flipped = LABEL.copy()
    flipped[:6] = (LABEL[:6] + 1) % K
    table = lines(flipped, names=["=a", "b\u00e9", "c,d"])
    quoted = table.replace(b"c,d", b'"c,d"')
    cfg = compose(words(tmp_path, None, quoted, "data.classes=['=a','b\u00e9','c,d']"))
    found = audit(cfg, tmp_path / "audit")
    with (tmp_path / "audit" / "suspects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["sample"]) for row in rows) == list(range(N))
    assert [int(row["rank"]) for row in rows] == list(range(1, N + 1))
    first = {int(row["sample"]) for row in rows[:12]}
    assert len(first & set(range(6))) >= 4
    assert {row["given_label"] for row in rows} == {"'=a", "b\u00e9", "c,d"}
    assert found["samples"] == N and found["folds"] is None and found["truth"] is None
    saved = np.load(tmp_path / "audit" / "probabilities.npy")
    np.testing.assert_allclose(saved, softmax(logits()[0]), rtol=1e-5)
    assert audit(cfg, tmp_path / "audit") == found
    np.save(tmp_path / "p.npy", softmax(logits()[0])[::-1])
    with pytest.raises(InputError, match=r"data\.probabilities have changed"):
        audit(cfg, tmp_path / "audit")


def test_it_starts_without_torch(tmp_path: Path) -> None:
    """Torch, torchvision and Lightning would take half of the time for a million predictions."""
    script = (
        "import sys\n"
        "from labelnoise.audit.config import compose\n"
        "from labelnoise.audit.audit import audit\n"
        f"audit(compose({words(tmp_path)!r}), {str(tmp_path / 'audit')!r})\n"
        "slow = {'torch', 'torchvision', 'pytorch_lightning'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    assert (tmp_path / "audit" / "suspects.csv").exists()
