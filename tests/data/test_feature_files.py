"""Files of features: three formats with equal content, and every wrong content in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelnoise.data.feature_classes import class_names_of, classes_of
from labelnoise.data.feature_table import read_features
from labelnoise.errors import InputError
from tests.tables import clouds, names, write_csv


@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_csv_and_npz_have_equal_content(sep: str, tmp_path: Path) -> None:
    values, label = clouds(20)
    words = {"label": names(label), "id": [f"r{i}" for i in range(20)], "clean": names(label)}
    text = write_csv(tmp_path / "a.csv", values, words, sep).read_text()
    (tmp_path / "a.csv").write_text("\ufeff" + text.replace("\n", "\r\n") + "\r\n", "utf-8")
    np.savez(tmp_path / "a.npz", X=values, y=words["label"], id=words["id"], clean=words["clean"])
    for name in ("a.csv", "a.npz"):
        table = read_features(tmp_path / name)
        assert table.features.dtype == np.float32
        assert np.array_equal(table.features, values.astype(np.float32))
        assert table.label == words["label"] == table.clean and table.name == words["id"]
        assert table.split is None
    assert read_features(tmp_path / "a.csv").columns == ["x0", "x1", "x2", "x3"]


def test_parquet_has_the_same_content(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    values, label = clouds(20)
    columns: dict[str, Any] = {f"x{i}": values[:, i] for i in range(4)}
    pq.write_table(pa.table({**columns, "n": label, "kind": label}), tmp_path / "a.parquet")
    table = read_features(tmp_path / "a.parquet", "kind")
    assert table.columns == ["x0", "x1", "x2", "x3", "n"]
    assert np.array_equal(table.features[:, :4], values.astype(np.float32))
    assert table.label == [str(k) for k in label]
    for column, message in (
        (pa.array(["a"] * 20), r"not numbers, seen in the types of the columns: n \('string'\)"),
        (pa.array([None, *range(19)]), r"1 values that are NaN.* n \(row 0\)"),
    ):
        wrong = pa.table({**columns, "n": column, "label": label})
        pq.write_table(wrong, tmp_path / "a.parquet")
        with pytest.raises(InputError, match=message):
            read_features(tmp_path / "a.parquet")


def test_parquet_without_pyarrow_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="needs pyarrow: pip install pyarrow, or write a CSV"):
        read_features(tmp_path / "a.parquet")


GOOD = "label,a,b\ncat,1,2\ndog,3,4\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'label'; its first line has nothing"),
        ("kind,a\ncat,1\n", "no column 'label'; .* has kind, a: write data.label_column=NAME"),
        ("label,a,a\ncat,1,2\n", "names the column 'a' twice"),
        ("label\ncat\n", "and no feature"),
        ("label,a\n", "0 rows of 1 features"),
        (",label,a\n0,cat,1\n", "no name for column 1: if it is the row number that pandas"),
        (f"{GOOD}cat,1\n", "2 cells in line 4 but 3 names"),
        (f"{GOOD}cat,Paris,\n", r"not numbers, seen in line 4: a \('Paris'\), b \(''\); leave"),
        (f"{GOOD}cat,1_0,2\n", r"not numbers, seen in line 4: a \('1_0'\)"),
        (f"{GOOD}cat,nan,2\ncat,inf,NaN\n", r"3 values .* in 2 of 2 columns, .* a \(row 2\), b"),
        (f"{GOOD}cat,1e39,2\n", "1 columns whose values float32 cannot tell apart: a; subtract"),
        ("label,t\ncat,1700000000.25\ndog,1700000001\n", "cannot tell apart: t"),
        (f"{GOOD} ,1,2\n", "1 of 3 rows without a label, the first is row 2"),
        ("label,a,split\ncat,1,train\ndog,2,val\n", "another split .* is 'val'; a run holds"),
        ("label,a,id\ncat,1,p\ndog,2,p\n", "1 values twice in id, the first is 'p'"),
        ("label,a\ncat,\xff\n", r"cannot be read \(.*utf-8.*\); write plain numbers"),
    ],
)
def test_a_wrong_csv_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode("latin1"))
    with pytest.raises(InputError, match=message) as raised:
        read_features(tmp_path / "a.csv")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.zeros((2, 3))}, "has the arrays X and lacks y; write X"),
        ({"X": np.zeros((2, 3, 3)), "y": [0, 1]}, r"X of shape \(2, 3, 3\)"),
        ({"X": np.array([["a"], ["b"]]), "y": [0, 1]}, "type <U1; write real numbers"),
        ({"X": np.zeros((2, 3)), "y": np.eye(2)}, r"y of shape \(2, 2\) for 2 rows of X"),
        ({"X": np.zeros((2, 3)), "y": [0, 1], "id": [1]}, r"id of shape \(1,\)"),
        ({"X": np.zeros((2, 3)), "y": np.array(["a", None])}, "it has Python objects"),
        ({"X": np.zeros((2, 3)), "y": [0.0, np.nan]}, "1 of 2 rows without a label"),
    ],
)
def test_a_wrong_npz_is_refused_in_one_line(
    arrays: dict[str, Any], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message) as raised:
        read_features(tmp_path / "a.npz")
    assert "\n" not in str(raised.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must end in .npz, .csv, .tsv, .parquet"):
        read_features(tmp_path / "a.xlsx")
    with pytest.raises(InputError, match=r"a.csv' is not a file; write the path of a file"):
        read_features(tmp_path / "a.csv")
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match="a.npz' cannot be read"):
        read_features(tmp_path / "a.npz")


def test_class_names_that_are_numbers_are_never_places() -> None:
    assert class_names_of(["10", "9", "-1"], "a") == ("-1", "9", "10")
    assert classes_of(["9.0", "-1", "10"], ("-1", "9", "10"), "a").tolist() == [1, 0, 2]
    for words, message in (
        (["a", "a"], "one class, 'a'"),
        (["1", "01"], "'01' and '1', which are the same number|'1' and '01'"),
        (["0.25", "1"], "1 labels with a fraction, the first is 0.25"),
    ):
        with pytest.raises(InputError, match=message):
            class_names_of(words, "a.csv")
    with pytest.raises(InputError, match="1 labels that are no class .* is '0'; .* are 1, 2"):
        classes_of(["0"], ("1", "2"), "a.csv")
