"""Pictures of a diagram: maps with the theory's lines, and a quantity against what theory says."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from labelnoise.errors import InputError
from labelnoise.phase_diagram.boundaries import BOUNDARIES, check_boundary, line
from labelnoise.phase_diagram.grid import Grid
from labelnoise.phase_diagram.quantities import QUANTITIES, Quantity
from labelnoise.phase_diagram.scaling import fit_power, is_complete
from labelnoise.phase_diagram.statistics import over_seeds
from labelnoise.report.style import ALL, NOISY, finish, new_figure
from labelnoise.theory.simulation import Setting

MARKERS = ("o", "s", "^", "v", "D")
LINES = ("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


@dataclass(frozen=True)
class Drawing:
    """What is asked of the picture.

    Attributes:
        kind: of ``KINDS``.
        quantity: of ``QUANTITIES``.
        contours: levels of the quantity.
        boundaries: levels of the theory's lines, by name of ``BOUNDARIES``.
        against: for "scaling", the line's field on the horizontal axis.
        title: above the panels.

    Raises:
        InputError: a name that does not exist.
    """

    kind: str
    quantity: str
    contours: tuple[float, ...] = ()
    boundaries: Mapping[str, tuple[float, ...]] | None = None
    against: str | None = None
    title: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"figure.kind must be one of {', '.join(KINDS)}, got {self.kind}")
        if self.quantity not in QUANTITIES:
            raise InputError(
                f"figure.quantity={self.quantity} does not exist, "
                f"choose from: {', '.join(QUANTITIES)}"
            )
        for name in self.boundaries or {}:
            check_boundary(name)
        if self.kind == "scaling":
            if self.against is None:
                raise InputError(
                    f"figure.kind=scaling needs figure.against, one of {', '.join(BOUNDARIES)}"
                )
            check_boundary(self.against, "against")


def draw(drawing: Drawing, grid: Grid, settings: Sequence[Setting], values: NDArray[Any]) -> Figure:
    """The picture of one quantity.

    Args:
        values: (panels, y, x, seeds).
    """
    return KINDS[drawing.kind](drawing, grid, settings, values)


def _map(drawing: Drawing, grid: Grid, settings: Sequence[Setting], values: NDArray[Any]) -> Figure:
    """A panel a value: colours are typical over seeds, white where half of them have no number."""
    quantity = QUANTITIES[drawing.quantity]
    mean = _typical(values, quantity)
    panels = grid.shape[0]
    figure = new_figure(1.4 + 4.1 * panels, 4.0)
    row = figure.subplots(1, panels, squeeze=False)[0]
    norm = _norm(mean, quantity)
    colours = "RdBu_r" if quantity.signed else "viridis"
    cells = np.arange(len(settings)).reshape(grid.shape)
    for panel, axes in enumerate(row):
        shown = axes.pcolormesh(
            grid.x.values, grid.y.values, mean[panel], norm=norm, cmap=colours, rasterized=True
        )
        axes.set_xscale(grid.x.scale)
        axes.set_yscale(grid.y.scale)
        _contours(axes, drawing, grid, mean[panel])
        own = [settings[i] for i in cells[panel].ravel()]
        _boundaries(axes, drawing, grid, own, mean[panel])
        name = "" if grid.panels is None else f"{grid.panels.label} = {_value(grid, panel)}"
        finish(axes, grid.x.label, grid.y.label if panel == 0 else "", name)
        axes.grid(visible=False)
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
    """Logarithmic where that is possible."""
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
) -> None:
    """The theory's lines, named in a legend, those that run through the panel."""
    if not _is_drawable(grid):
        return
    handles = []
    for style, (name, levels) in zip(LINES * 4, (drawing.boundaries or {}).items(), strict=False):
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
                handles.append(Line2D([], [], color=NOISY, ls=style, lw=1.6, label=label))
    if handles:
        axes.legend(handles=handles, fontsize=7.5, framealpha=0.85)


def _scaling(
    drawing: Drawing, grid: Grid, settings: Sequence[Setting], values: NDArray[Any]
) -> Figure:
    """Every cell's mean against what theory says, with a fitted power for each panel's value.

    Cells where any seed has no number are neither drawn nor fitted.
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
    """Means over seeds, or medians of what may spread over decades, as steps do.

    nan where fewer than half of them have a number, and any of both were luck.
    """
    mean, _, count = over_seeds(values)
    if quantity.log:
        with warnings.catch_warnings():  # of cells that have no number
            warnings.simplefilter("ignore", RuntimeWarning)
            mean = np.nanmedian(values, -1)
    return np.where(2 * count < values.shape[-1], np.nan, mean)


KINDS: dict[str, Callable[[Drawing, Grid, Sequence[Setting], NDArray[Any]], Figure]] = {
    "map": _map,
    "scaling": _scaling,
}
