"""Figures of a diagram: maps with lines of the theory, and a quantity against a theory value."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from labelnoise.errors import InputError
from labelnoise.phase_diagram.boundaries import BOUNDARIES, line
from labelnoise.phase_diagram.grid import Grid
from labelnoise.phase_diagram.quantities import QUANTITIES, Quantity
from labelnoise.phase_diagram.read import choice, mapping, numbers
from labelnoise.phase_diagram.statistics import fit_power, is_complete, over_seeds
from labelnoise.report.pictures.style import ALL, NOISY, finish, new_figure
from labelnoise.theory.simulation import Setting

FIGURE = ("quantity", "kind", "against", "contours", "boundaries", "title")
MARKERS = ("o", "s", "^", "v", "D")
# Fields for the horizontal axis; stage_two_floor depends on the drawn quantity.
AGAINST = tuple(name for name in BOUNDARIES if name != "stage_two_floor")
LINES = ("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


@dataclass(frozen=True)
class Drawing:
    """The options of the figure.

    Attributes:
        kind: a key of ``KINDS``.
        quantity: a key of ``QUANTITIES``.
        contours: contour levels of the quantity.
        boundaries: keys of ``BOUNDARIES``, each with its levels.
        against: for "scaling", the key of ``BOUNDARIES`` for the horizontal axis.
        title: the title above the panels.
    """

    kind: str
    quantity: str
    contours: tuple[float, ...] = ()
    boundaries: tuple[tuple[str, tuple[float, ...]], ...] = ()
    against: str | None = None
    title: str = ""

    @classmethod
    def read(cls, words: Any) -> Drawing:
        """From ``figure`` in the configuration.

        Raises:
            InputError: a bad value; the message has the allowed values.
        """
        words = mapping("figure", words, FIGURE, "{quantity: test_error, kind: map, ...}")
        lines, example = words.get("boundaries") or [], "{name: n_snr_squared, levels: [4]}"
        if not isinstance(lines, list):
            raise InputError(
                f"figure.boundaries must be a list as [{example}], or null, got {lines}"
            )
        entries = [mapping("figure.boundaries", e, ("name", "levels"), example) for e in lines]
        contours, against = words.get("contours") or [], words.get("against")
        kind = choice("figure.kind", words.get("kind"), KINDS)
        if kind == "scaling":
            choice("figure.against", against, AGAINST)
        return cls(
            kind=kind,
            quantity=choice("figure.quantity", words.get("quantity"), QUANTITIES),
            contours=tuple(numbers("figure.contours", contours) if contours else ()),
            boundaries=tuple(
                (
                    choice("figure.boundaries.name", e.get("name"), BOUNDARIES),
                    tuple(numbers("figure.boundaries.levels", e.get("levels"))),
                )
                for e in entries
            ),
            against=against if kind == "scaling" else None,
            title="" if words.get("title") is None else str(words["title"]),
        )

    def check(self, grid: Grid, settings: Sequence[Setting]) -> None:
        """Refuse, before computing, a figure that could not be drawn.

        Raises:
            InputError: a panel of a scaling with fewer than three horizontal values.
        """
        if self.kind == "scaling":
            assert self.against is not None
            theory = line(self.against, settings, np.zeros(grid.shape))
            places = min(len(np.unique(panel)) for panel in theory)
            if places < 3:
                raise InputError(
                    f"a power law needs three values of figure.against={self.against}, but the "
                    f"axes give {places} in a panel: choose an axis that changes it"
                )


def draw(drawing: Drawing, grid: Grid, settings: Sequence[Setting], values: NDArray[Any]) -> Figure:
    """The figure of a quantity.

    Args:
        drawing: the options.
        grid: the axes.
        settings: the settings of all cells.
        values: (panels, y, x, seeds).
    """
    return KINDS[drawing.kind](drawing, grid, settings, values)


def _map(drawing: Drawing, grid: Grid, settings: Sequence[Setting], values: NDArray[Any]) -> Figure:
    """A map per panel; a cell is white if fewer than half of its seeds have a number."""
    quantity = QUANTITIES[drawing.quantity]
    mean = _typical(values, quantity)
    panels = grid.shape[0]
    figure = new_figure(1.4 + 4.1 * panels, 4.0)
    row = figure.subplots(1, panels, squeeze=False)[0]
    norm = _norm(mean, quantity)
    colours = "RdBu_r" if quantity.signed else "viridis"
    cells = np.arange(len(settings)).reshape(grid.shape)
    missed = {(name, level) for name, levels in drawing.boundaries for level in levels}
    for panel, axes in enumerate(row):
        shown = axes.pcolormesh(
            grid.x.values, grid.y.values, mean[panel], norm=norm, cmap=colours, rasterized=True
        )
        axes.set_xscale(grid.x.scale)
        axes.set_yscale(grid.y.scale)
        _contours(axes, drawing, grid, mean[panel])
        own = [settings[i] for i in cells[panel].ravel()]
        missed -= _boundaries(axes, drawing, grid, own, mean[panel])
        name = "" if grid.panels is None else f"{grid.panels.label} = {_value(grid, panel)}"
        finish(axes, grid.x.label, grid.y.label if panel == 0 else "", name)
        axes.grid(visible=False)
    for name, level in sorted(missed):
        print(f"the line {name} = {level:g} is outside the map")
    figure.colorbar(shown, ax=list(row), label=quantity.label)
    if drawing.title:
        figure.suptitle(drawing.title, fontsize=11)
    return figure


def _norm(mean: NDArray[Any], quantity: Quantity) -> Normalize:
    finite = mean[np.isfinite(mean)]
    if quantity.span is not None:
        return Normalize(*quantity.span)
    if not len(finite):
        return Normalize(0, 1)
    if quantity.signed:
        return CenteredNorm(halfrange=max(float(np.abs(finite).max()), 1e-6))
    if quantity.log:
        return _spread(finite)
    return Normalize(finite.min(), finite.max())


def _spread(values: NDArray[Any]) -> Normalize:
    """A logarithmic scale if all values are above 0, else a linear one."""
    if values.min() > 0 and values.max() > values.min():
        return LogNorm(values.min(), values.max())
    return Normalize(values.min(), values.max())


def _is_drawable(grid: Grid) -> bool:
    return len(grid.x.values) > 1 and len(grid.y.values) > 1


def _contours(axes: Axes, drawing: Drawing, grid: Grid, mean: NDArray[Any]) -> None:
    levels = [level for level in sorted(set(drawing.contours)) if _runs_through(mean, level)]
    if levels and _is_drawable(grid):
        colour = "black" if QUANTITIES[drawing.quantity].signed else "white"
        lines = axes.contour(
            grid.x.values, grid.y.values, mean, levels=levels, colors=colour, linewidths=0.9
        )
        axes.clabel(lines, fmt="%g", fontsize=7)


def _runs_through(field: NDArray[Any], level: float) -> bool:
    known = field[np.isfinite(field)]
    return bool(len(known)) and bool(known.min() < level < known.max())


def _boundaries(
    axes: Axes, drawing: Drawing, grid: Grid, settings: Sequence[Setting], mean: NDArray[Any]
) -> set[tuple[str, float]]:
    """Draw the theory lines that cross the panel, with a legend; returns their names and levels."""
    drawn: set[tuple[str, float]] = set()
    if not _is_drawable(grid):
        return drawn
    handles = []
    for style, (name, levels) in zip(LINES * 4, drawing.boundaries, strict=False):
        field = line(name, settings, mean)
        for level in levels:
            if _runs_through(field, level):
                axes.contour(
                    grid.x.values,
                    grid.y.values,
                    field,
                    levels=[level],
                    colors=NOISY,
                    linestyles=[style],
                    linewidths=1.6,
                )
                label = BOUNDARIES[name].label.format(level=level)
                drawn.add((name, level))
                handles.append(Line2D([], [], color=NOISY, ls=style, lw=1.6, label=label))
    if handles:
        axes.legend(handles=handles, fontsize=7.5, framealpha=0.85)
    return drawn


def _scaling(
    drawing: Drawing, grid: Grid, settings: Sequence[Setting], values: NDArray[Any]
) -> Figure:
    """The mean of every cell against the theory value, with a fitted power law for each panel.

    Cells with a seed without a number are neither drawn nor fitted.
    """
    assert drawing.against is not None
    mean = np.where(is_complete(values), over_seeds(values)[0], np.nan)
    theory = line(drawing.against, settings, mean).reshape(mean.shape)
    figure = new_figure(5.6, 4.4)
    axes = figure.subplots()
    for panel, (seeds, marker) in enumerate(zip(values, MARKERS * len(values), strict=False)):
        fit = fit_power(theory[panel].ravel(), seeds.reshape(-1, seeds.shape[-1]))
        name = "" if grid.panels is None else f"{grid.panels.label} = {_value(grid, panel)}, "
        [points] = axes.plot(theory[panel].ravel(), mean[panel].ravel(), marker, ms=4, alpha=0.8)
        span = np.array([theory[panel].min(), theory[panel].max()])
        power = fit.factor * span**fit.slope
        axes.plot(span, power, color=points.get_color(), lw=1.2, label=f"{name}{fit}")
    one = np.exp(np.nanmean(np.log(mean) - np.log(theory)))
    span = np.array([theory.min(), theory.max()])
    axes.plot(span, one * span, color=ALL, lw=1.0, ls="--", label="slope 1")
    axes.set_xscale("log")
    axes.set_yscale("log")
    level = BOUNDARIES[drawing.against].label.split(" = ")[0]
    finish(axes, level, QUANTITIES[drawing.quantity].label, drawing.title)
    axes.legend(fontsize=8)
    return figure


def _value(grid: Grid, panel: int) -> str:
    assert grid.panels is not None
    return f"{grid.panels.values[panel]:g}"


def _typical(values: NDArray[Any], quantity: Quantity) -> NDArray[Any]:
    """Means over seeds, or medians of logarithmic quantities such as steps.

    nan if fewer than half of the seeds have a number.
    """
    mean, _, count = over_seeds(values)
    if quantity.log:
        with warnings.catch_warnings():  # from cells without a number
            warnings.simplefilter("ignore", RuntimeWarning)
            mean = np.nanmedian(values, -1)
    return np.where(2 * count < values.shape[-1], np.nan, mean)


KINDS: dict[str, Callable[[Drawing, Grid, Sequence[Setting], NDArray[Any]], Figure]] = {
    "map": _map,
    "scaling": _scaling,
}
