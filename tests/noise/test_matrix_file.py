"""Any transition matrix from a CSV file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from labelnoise.errors import InputError
from labelnoise.noise import CleanSplit, MatrixNoise, flip_labels
from labelnoise.noise.matrix_file import read_matrix
from labelnoise.seeding import stream

NAMES = ("cat", "dog", "frog")
# Rows and columns in the order of NAMES.
T = torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.875, 0], [0, 0, 1]], dtype=torch.float64)
PLAIN = "0.5,0.25,0.25\n0.125,0.875,0\n0,0,1\n"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"cat,dog,frog\n{PLAIN}",
        f"\ufeff0, 1, 2\r\n{PLAIN}\n\n",
        "frog,cat,dog\n1,0,0\n0.25,0.5,0.25\n0,0.125,0.875\n",
        # As pandas writes it: the rows have names too, here in another order than the columns.
        ",frog,cat,dog\ndog,0,0.125,0.875\nfrog,1,0,0\ncat,0.25,0.5,0.25\n",
    ],
)
def test_names_determine_the_order(text: str, tmp_path: Path) -> None:
    (tmp_path / "T.csv").write_text(text, encoding="utf-8")
    assert torch.equal(read_matrix(tmp_path / "T.csv", 3, NAMES), T)


def test_it_flips_as_flip_labels_and_records_the_matrix(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "T.csv").write_text(f"dog,cat,frog\n{PLAIN}")
    clean = torch.arange(3).repeat(80)
    swapped = T[[1, 0, 2]][:, [1, 0, 2]]
    with caplog.at_level(logging.WARNING):
        noise = MatrixNoise(tmp_path / "T.csv", seed=3)
        record = noise.draw(CleanSplit(clean, 3, class_names=NAMES))
    assert torch.equal(record.label, flip_labels(clean, swapped, stream(3, "noise", "train")))
    assert record.matrix_requested is not None and torch.equal(record.matrix_requested, swapped)
    assert record.per_class_rates is not None
    assert record.per_class_rates.tolist() == [0.125, 0.5, 0]
    assert record.rate_requested is None and record.kind == "matrix" and not caplog.records
    (tmp_path / "T.csv").write_text("0,1,0\n0,1,0\n0.5,0,0.5\n")
    with caplog.at_level(logging.WARNING):
        MatrixNoise(tmp_path / "T.csv").draw(CleanSplit(clean, 3, class_names=NAMES))
    assert "true label for the classes cat, frog" in caplog.text


def test_names_that_are_numbers_are_not_taken_for_places(tmp_path: Path) -> None:
    (tmp_path / "T.csv").write_text("1,0\n0.9,0.1\n0,1\n")
    matrix = read_matrix(tmp_path / "T.csv", 2, ["0", "1"])
    assert matrix.tolist() == [[1, 0], [0.1, 0.9]]
    with pytest.raises(InputError, match="can be read in two ways"):
        read_matrix(tmp_path / "T.csv", 2, ["1", "2"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5,0.5\n0,1\n", "2 rows of 2 cells for 3 classes; write a row of 3 probabilities"),
        (f"{PLAIN}0,0,1\n0,0,1\n", "5 rows of 3 cells for 3 classes"),
        ("0.5,0.25,0.25\n0.125,0.875\n0,0,1\n", "3 rows of 2 or 3 cells"),
        ("0.5,0.25,0.25\n0.125,0.775,0\n0,0,1\n", "row '2' sums to 0.9; row i has"),
        ("dog,cat,frog\n1,0,0\n0,1,0\n0,0,0.5\n", "row 'frog' sums to 0.5"),
        ("0.5,0.75,-0.25\n0,1,0\n0,0,1\n", "has '-0.25', which is not a probability"),
        ("nan,1,0\n0,1,0\n0,0,1\n", "has 'nan', which is not a probability"),
        ("cat,dog,cow\n1,0,0\n0,1,0\n0,0,1\n", "neither a name nor a number .*'cow'"),
        ("cat,dog,dog\n1,0,0\n0,1,0\n0,0,1\n", "lacks frog; name every class"),
        ("", "0 rows of 0 cells"),
    ],
)
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "T.csv").write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        read_matrix(tmp_path / "T.csv", 3, NAMES)
    assert "\n" not in str(raised.value)
