"""Tables of text: every form that programs write gives the same cells."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelnoise.data.tables import read_table
from labelnoise.errors import InputError
from tests.folders import one_line

HEADER = ["path", "label", "note"]
ROWS = [["a b.png", "cat", "x, y; z"], ["c.png", "01", ""], ["é.png", "10", 'says "no"']]


def written(delimiter: str = ",", end: str = "\n", rows: list[list[str]] = ROWS) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows([HEADER, *rows])
    return text.getvalue()


FORMS = {
    "comma": written().encode(),
    "tabs": written("\t").encode(),
    "semicolons of Excel, with BOM and Windows line ends": written(";", "\r\n").encode("utf-8-sig"),
    "Unicode text of Excel": written("\t", "\r\n").encode("utf-16"),
    "a line for the separator": b"sep=;\r\n" + written(";", "\r\n").encode(),
    "old Mac line ends": written(end="\r").encode(),
    "empty lines and cells": written().replace("\n", ",,\n\n,,,\n").encode(),
    "spaces": written(rows=[[f" {c} " for c in r] for r in ROWS])
    .replace("path,", " path ,")
    .encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_cells(tmp_path: Path, form: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(FORMS[form])
    table = read_table(path, "data.table")
    assert [table.column(name) for name in HEADER] == [list(c) for c in zip(*ROWS, strict=True)]


def test_parquet_gives_the_same_cells(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    columns = {name: list(c) for name, c in zip(HEADER, zip(*ROWS, strict=True), strict=True)}
    columns |= {"number": [1, None, 3], "dictionary": pa.array(["a", "b", "a"]).dictionary_encode()}
    pq.write_table(pa.table(columns | {"float": [1.0, float("nan"), 2.5]}), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", "data.table")
    assert [table.column(name) for name in HEADER] == [list(c) for c in zip(*ROWS, strict=True)]
    assert table.column("number") == ["1", "", "3"] and table.column("float") == ["1", "", "2.5"]
    assert table.column("dictionary") == ["a", "b", "a"]
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(
        InputError, match="t.parquet cannot be read .*write a Parquet file"
    ) as error:
        read_table(tmp_path / "t.parquet", "data.table")
    one_line(error)


def test_parquet_without_pyarrow_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "t.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="needs pyarrow: pip install pyarrow, or save") as error:
        read_table(tmp_path / "t.parquet", "data.table")
    one_line(error)


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]))


@given(st.lists(st.tuples(CELLS, CELLS, CELLS)), st.sampled_from(",;\t"))
def test_the_cells_that_a_csv_writer_writes_are_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], delimiter: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([HEADER, *rows])
    stripped = [[cell.strip() for cell in row] for row in rows]
    assert read_table(path, "data.table").rows == [row for row in stripped if any(row)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "data.table=.*t.csv cannot be read .*No such file"),
        (b"path,label\na.png,\xff\n", "cannot be read .*utf-8"),
        (b"path,label\na.png,cat\0\n", "zero bytes"),
        (b'path,label\na.png,"cat\nb.png,dog\n', "cannot be read .*unexpected end of data"),
        (
            b"path,label\na.png,cat\nb,c.png,dog\n",
            "has 3 cells in line 3 but 2 columns: path, label",
        ),
        (b"", "has no column 'label', its columns are: "),
        (b"path,label,label\na,b,c\n", "has 2 columns 'label'"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as error:
        read_table(path, "data.table").column("label")
    one_line(error)
