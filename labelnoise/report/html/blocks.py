"""The content of a report: a page has sections, and a section has blocks of a few kinds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from labelnoise.report.pictures.style import ALL, CLEAN, NOISY, SIGNAL, TEST

# The colours of a chart by their names in page.css, which has other shades for a dark page.
ROLES = {SIGNAL: "signal", CLEAN: "clean", NOISY: "noisy", TEST: "test", ALL: "all"}
# The names of the colours of settings, which are not clean or noisy samples.
CYCLE = tuple(f"c{i}" for i in range(8))
# A chart shows at most so many points of a curve; the table of the run has all.
MOST_POINTS = 2000


@dataclass(frozen=True)
class Words:
    """A paragraph of sentences."""

    kind: ClassVar[str] = "words"
    text: str


@dataclass(frozen=True)
class Facts:
    """Names with values."""

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """A command or another text to copy."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        header: the names of the columns.
        rows: the cells.
        caption: one line above the table.
        shades: (rows, columns) numbers from 0 to 1 for the background of the cells, or None.
        folded: whether the table is closed until the reader opens it.
        apart: the last rows that stand apart from the others, such as those of the oracle.
    """

    kind: ClassVar[str] = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    shades: Sequence[Sequence[float | None]] | None = None
    folded: bool = False
    apart: int = 0

    def shade(self, row: int, column: int) -> int | None:
        """The class of the background of a cell, from 0 to 9."""
        value = self.shades[row][column] if self.shades else None
        return None if value is None else min(9, int(10 * value))


@dataclass(frozen=True)
class Picture:
    """A figure of the directory, which the page contains."""

    kind: ClassVar[str] = "picture"
    path: Path
    caption: str


@dataclass(frozen=True)
class Curve:
    """A curve of a chart.

    Attributes:
        label: its name.
        color: a name in :data:`ROLES` or :data:`CYCLE`.
        points: y by x; a value that is not finite is a gap.
        dashed: whether the line is dashed.
        low, high: the ends of the interval by x, or None.
    """

    label: str
    color: str
    points: Mapping[float, float]
    dashed: bool = False
    low: Mapping[float, float] | None = None
    high: Mapping[float, float] | None = None


@dataclass(frozen=True)
class Mark:
    """A vertical line of a chart at x, with a letter that the time line explains."""

    x: float
    letter: str
    color: str


@dataclass(frozen=True)
class Chart:
    """Curves over x. Charts with the same ``x_label`` have the same cursor."""

    kind: ClassVar[str] = "chart"
    title: str
    curves: Sequence[Curve]
    y_label: str
    x_label: str = "training step"
    log_x: bool = False
    log_y: bool = False
    marks: Sequence[Mark] = ()
    words: str = ""

    def data(self) -> dict[str, Any]:
        """The chart for the script: aligned lists, with null where a curve has no value."""
        series = [
            (curve, part, points)
            for curve in self.curves
            for part, points in (("line", curve.points), ("high", curve.high), ("low", curve.low))
            if points is not None
        ]
        x = _thinned(
            sorted({x for *_, points in series for x in points if x > 0 or not self.log_x})
        )
        return {
            "xLabel": self.x_label,
            "yLabel": self.y_label,
            "logX": self.log_x,
            "logY": self.log_y,
            "marks": [{"x": m.x, "letter": m.letter, "color": m.color} for m in self.marks],
            "x": x,
            "series": [
                {
                    "label": curve.label,
                    "color": curve.color,
                    "dashed": curve.dashed,
                    "part": part,
                    "y": [self._plain(points.get(at)) for at in x],
                }
                for curve, part, points in series
            ],
        }

    def _plain(self, y: float | None) -> float | None:
        if y is None or not math.isfinite(y) or (self.log_y and y <= 0):
            return None
        return float(f"{y:.6g}")


@dataclass(frozen=True)
class TimeLine:
    """Events of a run by their step.

    Attributes:
        last: the last step.
        events: step, letter, words and colour, sorted by step.
        logarithmic: whether the line has a logarithmic axis.
    """

    kind: ClassVar[str] = "timeline"
    last: int
    events: Sequence[tuple[int, str, str, str]]
    logarithmic: bool

    def place(self, step: int) -> float:
        """The place of a step on the line, from 0 to 1.

        Example:
            >>> TimeLine(100, (), True).place(10), TimeLine(100, (), False).place(10)
            (0.5, 0.1)
        """
        if not self.logarithmic:
            return step / max(1, self.last)
        return math.log(max(1, step)) / max(1e-9, math.log(max(2, self.last)))


Block = Words | Facts | Code | Table | Picture | Chart | TimeLine


@dataclass(frozen=True)
class Section:
    """A part of a page; ``folded`` blocks are closed until the reader opens them."""

    title: str
    blocks: Sequence[Block]
    folded: Sequence[Block] = ()
    folded_title: str = "More"


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: the name of the run, sweep, audit or diagram.
        kind: one word for it.
        lead: sentences that say what was run and what came out.
        sections: the parts of the page.
    """

    title: str
    kind: str
    lead: Sequence[str]
    sections: Sequence[Section] = field(default_factory=tuple)

    def charts(self) -> list[Chart]:
        """The charts in the order of the page."""
        blocks = [b for s in self.sections for b in (*s.blocks, *s.folded)]
        return [block for block in blocks if isinstance(block, Chart)]


def points(x: ArrayLike, y: ArrayLike) -> dict[float, float]:
    """y by x.

    Example:
        >>> points([1, 2], [0.5, 0.25])
        {1: 0.5, 2: 0.25}
    """
    return dict(zip(np.asarray(x).tolist(), np.asarray(y).tolist(), strict=True))


def percent(share: float | None) -> str:
    """A share in percent.

    Example:
        >>> percent(0.12345), percent(None)
        ('12.35\xa0%', 'not known')
    """
    return "not known" if share is None else f"{100 * share:.2f}\N{NO-BREAK SPACE}%"


def _thinned(x: Sequence[float]) -> list[float]:
    """At most MOST_POINTS of the sorted values, always with the last."""
    every = max(1, -(-len(x) // MOST_POINTS))
    return [*x[:-1][::every], *x[-1:]]
