"""Label noise with any transition matrix, read from a CSV file."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.files.label_words import plain, read_classes, some
from labelnoise.files.tables import unescape
from labelnoise.files.writing import content_of
from labelnoise.noise.kinds import CleanSplit, LabelNoise
from labelnoise.noise.record import NoiseRecord

log = logging.getLogger(__name__)


def read_matrix(
    path: Path, num_classes: int, class_names: Sequence[str] | None = None
) -> Float[Tensor, "K K"]:
    """Read T[i, j] = P(noisy = j | clean = i) from a CSV, in the order of the classes of the data.

    The file has K lines of K numbers, in the order of the classes. With a line more, the first line
    names the classes of the columns, and the rows have the same order. With a cell more in every
    line, the first cell of each row names the class of the row, and the rows can have any order.

    Args:
        path: the CSV in UTF-8.
        num_classes: K.
        class_names: K names; None for the numbers 0..K-1.

    Raises:
        InputError: another number of lines or cells, names that are not the classes of the data, a
            cell that is not a probability, or a row that does not sum to 1.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "T.csv")
        ...     _ = file.write_text("dog,cat\\n0.75,0.25\\n0,1\\n")
        ...     read_matrix(file, 2, ["cat", "dog"])
        tensor([[1.0000, 0.0000],
                [0.2500, 0.7500]], dtype=torch.float64)
    """
    names = [str(k) for k in range(num_classes)] if class_names is None else list(class_names)
    columns, rows, cells = _parts(path, names)
    numbers = [[_probability(path, cell) for cell in row] for row in cells]
    matrix = torch.tensor(numbers, dtype=torch.float64)
    _check_sums(path, matrix, rows or columns or [str(k + 1) for k in range(num_classes)])
    if columns is None:
        return matrix
    to = torch.tensor(_places(path, columns, names))
    of = to if rows is None else torch.tensor(_places(path, rows, names))
    ordered = torch.empty_like(matrix)
    ordered[of[:, None], to] = matrix
    return ordered


def _parts(
    path: Path, names: Sequence[str]
) -> tuple[list[str] | None, list[str] | None, list[list[str]]]:
    """The names of the columns and of the rows, None without, and the K x K other cells."""
    lines, k = _lines(path), len(names)
    larger = {len(line) for line in lines} == {k + 1} and _is_number(lines[0][0])  # K + 1 classes
    columns = lines.pop(0) if len(lines) == k + 1 and not larger else None
    rows = None
    if columns is not None and all(len(line) == k + 1 for line in lines):
        rows = [line.pop(0) for line in lines]
        columns = columns[1:] if len(columns) == k + 1 else columns
    if len(lines) != k or any(len(line) != k for line in [*lines, columns or lines[0]]):
        sizes = sorted({len(line) for line in lines}) or [0]
        raise InputError(
            f"noise.matrix={path} has {len(lines)} rows of {' or '.join(map(str, sizes))} cells "
            f"for {k} classes; write a row of {k} probabilities for each of the classes "
            f"{some(names)}, separated by commas, below a line with their names or without it"
        )
    return columns, rows, lines


def _lines(path: Path) -> list[list[str]]:
    """The cells of the lines that are not empty."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"noise.matrix={path} cannot be read ({error}); write a CSV file of probabilities"
        ) from error
    return [row for row in rows if any(row)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _probability(path: Path, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:  # refuses NaN too
        raise InputError(
            f"noise.matrix={path} has {cell!r}, which is not a probability; write numbers from 0 "
            "to 1, separated by commas"
        )
    return value


def _check_sums(path: Path, matrix: Float[Tensor, "K K"], names: Sequence[str]) -> None:
    for name, total in zip(names, matrix.sum(1).tolist(), strict=True):
        if abs(total - 1) >= 1e-6:
            raise InputError(
                f"noise.matrix={path} has a row that does not sum to 1: row {name!r} sums to "
                f"{total:.7g}; row i has the probabilities of the given labels of true class i, so "
                "divide the row by its sum, or exchange rows and columns"
            )


def _places(path: Path, words: Sequence[str], names: Sequence[str]) -> list[int]:
    """The class of each name; every class must occur once."""
    words = [word if word in names else unescape(word) for word in words]
    found, reading = read_classes(words, names, f"noise.matrix={path}", words)
    missing = [name for k, name in enumerate(names) if k not in found]
    if len(found) != len(names) or missing:
        raise InputError(
            f"noise.matrix={path} names {some([plain(word) for word in words])}, which lacks "
            f"{some(missing) or 'nothing but has a name twice'}; name every class of the data once"
        )
    if reading is not None:
        log.info("%s", reading)
    return found


@dataclass(frozen=True)
class MatrixNoise(LabelNoise):
    """Flips with a transition matrix from a file, an exact number of labels of each class.

    See :func:`read_matrix` for the file and :func:`labelnoise.noise.flip_labels` for the draw. All
    transition matrices are allowed; a class with another label at least as likely as the true one
    is logged.

    Attributes:
        matrix: the CSV file.
        seed: seed of the draw.
    """

    matrix: str | Path
    seed: int = 0
    kind: ClassVar[str] = "matrix"

    def sources(self) -> dict[str, str | None]:
        return {"noise.matrix": content_of(Path(self.matrix).expanduser())}

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        file = Path(self.matrix).expanduser()
        matrix = read_matrix(file, split.num_classes, split.class_names)
        others = matrix - 2 * torch.diag(matrix.diagonal())
        weak = (others.amax(1) >= matrix.diagonal()).nonzero().flatten().tolist()
        if weak and split.part == "train":
            names = split.class_names or range(split.num_classes)
            log.warning(
                "noise.matrix=%s: a wrong label is at least as likely as the true label for the "
                "classes %s", file, some([str(names[k]) for k in weak]),
            )  # fmt: skip
        return self._from_matrix(split, None, matrix, generator)
