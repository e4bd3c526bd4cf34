"""Cells that a spreadsheet would run are escaped in every CSV, and read back as they were."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labelnoise.data.label_table import read_given_labels
from labelnoise.files.tables import escape, read_rows, unescape, write_columns, write_rows
from labelnoise.report.tables.suspects import report_suspects
from tests.conftest import Run

PACKAGE = Path(__file__).resolve().parents[2] / "labelnoise"


@given(st.text() | st.text("'=+-@\t\r12e. ", max_size=6))
def test_text_comes_back_and_never_begins_a_formula(text: str) -> None:
    cell = escape(text)
    assert unescape(cell) == text
    try:
        float(cell)
    except ValueError:
        assert cell[:1] not in tuple("=+-@\t\r")


@pytest.mark.parametrize("number", [-1, -0.5, "-1", "+1.5e-3", "-.5", ".5", 0, "12"])
def test_numbers_stay_numbers(number: object) -> None:
    assert escape(number) == number


@pytest.mark.parametrize(
    "word", ["-inf", "+-1", "-1+1", "--1", "=1", "@SUM(1)", "\tx", "\r=1", "-"]
)
def test_what_only_looks_like_a_number_is_text(word: str) -> None:
    assert escape(word) == f"'{word}"


def test_rows_come_back(tmp_path: Path) -> None:
    names = ["a", "=b", 'c,\n"d"', "\udcff.png"]  # the last is a file's name that is no UTF-8
    write_rows(tmp_path / "x.csv", ["name", "=head"], [{"name": name} for name in names])
    assert read_rows(tmp_path / "x.csv") == [{"name": name, "=head": ""} for name in names]
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def test_one_module_alone_writes_csv() -> None:
    users = [
        str(p.relative_to(PACKAGE))
        for p in PACKAGE.rglob("*.py")
        if re.search(r"csv\.\w*[wW]riter", p.read_text())
    ]
    assert users == ["files/tables.py"]


def test_suspects_with_names_that_are_formulas(
    tmp_path: Path, image_root: Path, run_images: Run
) -> None:
    root = tmp_path / "formulas"
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 5)):
        for name, mean in (("=cmd|'!A1", 100), ("-x", 150)):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(mean, 30, (8, 8, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{i:02}.png")
    run_images(f"data.root={root}", "monitor=[memorization,dynamics]", "max_epochs=3")
    suspects = tmp_path / "run" / "suspects.csv"
    with suspects.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        raw = list(csv.DictReader(file))
    assert {row["given_label"] for row in raw} == {"'=cmd|'!A1", "'-x"}
    assert {row["given_label"] for row in read_rows(suspects)} == {"=cmd|'!A1", "-x"}
    text = report_suspects(tmp_path / "run", top=60)
    assert "'-x" not in text and "-x -> =cmd|'!A1" in text


def test_labels_copied_from_suspects_are_read_as_the_classes_they_were(tmp_path: Path) -> None:
    names, files = ["=a", "'=b"], ["=a/0.png", "'=b/0.png"]
    rows = [{"file": file, "label": name} for file, name in zip(files, names, strict=True)]
    table = tmp_path / "labels.csv"
    table.write_text("file,label\n" + "".join(f"{r['file']},{escape(r['label'])}\n" for r in rows))
    assert read_given_labels(table, files, names).tolist() == [0, 1]
    table.write_text("file,label\n" + "".join(f"{r['file']},{r['label']}\n" for r in rows))
    assert read_given_labels(table, files, names).tolist() == [0, 1]


CELLS = st.integers() | st.text(max_size=4) | st.text("'=+-@\t\r\n,\"1 ", max_size=3) | st.none()
NUMBERS = st.floats(allow_nan=False) | st.floats()


@given(st.data(), st.integers(1, 4), st.integers(1, 4))
def test_columns_are_written_as_the_rows_would_be(
    data: st.DataObject, rows: int, width: int
) -> None:
    def column(kind: str) -> Any:
        cells = data.draw(st.lists(NUMBERS if kind == "f" else CELLS, min_size=rows, max_size=rows))
        return np.array(cells) if kind == "f" else cells

    kinds = data.draw(st.lists(st.sampled_from("fw"), min_size=width, max_size=width))
    columns = {f"c{i}": column(kind) for i, kind in enumerate(kinds)}
    shown = {
        name: ["" if x != x else f"{x:.6g}" for x in c.tolist()] if isinstance(c, np.ndarray) else c
        for name, c in columns.items()
    }
    with TemporaryDirectory() as folder:
        write_columns(Path(folder, "columns.csv"), columns)
        table = [dict(zip(shown, row, strict=True)) for row in zip(*shown.values(), strict=True)]
        write_rows(Path(folder, "rows.csv"), list(shown), table)
        written = Path(folder, "columns.csv").read_bytes()
        assert written == Path(folder, "rows.csv").read_bytes()


@pytest.mark.parametrize("odd", ["=1+1", "a,b", 'a"', "a\rb", "a\nb", "'x", "\tx", ""])
def test_one_odd_cell_in_a_large_column_is_escaped_and_quoted(tmp_path: Path, odd: str) -> None:
    words = [f"img_{i}.png" for i in range(50)]
    words[20] = odd
    write_columns(tmp_path / "x.csv", {"name": np.array(words), "score": np.arange(50.0)})
    found = read_rows(tmp_path / "x.csv")
    assert [row["name"] for row in found] == words
    assert [row["score"] for row in found] == [str(i) for i in range(50)]
