"""One comparison, measured side by side in one run: the only kind of figure a benchmark prints."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple


class Ratio(NamedTuple):
    """``ours`` against ``other`` in ``unit``, and the bound that ``ratio`` is held against."""

    name: str
    unit: str
    ours: float
    other: float
    ratio: float
    bound: str

    @property
    def holds(self) -> bool:
        limit = float(self.bound.split()[1])
        return self.ratio <= limit if self.bound.startswith("<=") else self.ratio >= limit


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def side_by_side(
    ours: Callable[[], float], other: Callable[[], float], rounds: int
) -> tuple[float, float, float]:
    """Medians of two measurements taken in turn, and the median of their ratios ours / other.

    Taking them in turn makes the ratio hold when the machine's speed drifts.
    """
    pairs = [(ours(), other()) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def print_ratios(ratios: Iterable[Ratio]) -> None:
    """Print a table of name, both measurements, ratio and bound, each row once it is there."""
    print(f"{'':54}{'ours':>12}{'other':>12}{'ratio':>9}  bound", flush=True)
    for r in ratios:
        mark = "" if r.holds else "  NOT MET"
        figures = f"{r.ours:12.4g}{r.other:12.4g}{r.ratio:9.2f}"
        print(f"{f'{r.name} ({r.unit})':54}{figures}  {r.bound}{mark}", flush=True)
