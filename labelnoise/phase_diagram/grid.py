"""What is varied: two axes and panels, and the cells that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelnoise.errors import InputError
from labelnoise.phase_diagram.parameters import WHOLE, combine, known, setting_of
from labelnoise.theory.simulation import Setting

SCALES = ("linear", "log")


@dataclass(frozen=True)
class Axis:
    """A parameter and its values, ascending.

    Example:
        >>> words = {"name": "d", "from": 10, "to": 1000, "points": 3, "scale": "log"}
        >>> Axis.read("x", words).values
        array([  10.,  100., 1000.])
    """

    name: str
    values: NDArray[np.float64]
    scale: str = "linear"

    @property
    def label(self) -> str:
        return known(self.name, "axis").label

    @classmethod
    def read(cls, where: str, words: Mapping[str, Any]) -> Axis:
        """An axis from its part of the configuration: ``values``, or ``from``, ``to``, ``points``.

        Raises:
            InputError: names ``where`` and what is wrong there.
        """
        name, scale = str(words["name"]), str(words.get("scale", "linear"))
        known(name, f"{where}.name")
        if scale not in SCALES:
            raise InputError(f"{where}.scale must be one of {', '.join(SCALES)}, got {scale}")
        if words.get("values") is not None:
            values = _numbers(f"{where}.values", list(words["values"]))
        else:
            low, high = _numbers(f"{where}.from and {where}.to", [words["from"], words["to"]])
            points = words["points"]
            if not isinstance(points, int) or points < 1:
                raise InputError(f"{where}.points must be a whole number from 1, got {points}")
            if scale == "log" and not 0 < low <= high:
                raise InputError(
                    f"{where}.from and {where}.to must be above 0 and ascend on a log axis, "
                    f"got {low:g} and {high:g}"
                )
            spread = np.geomspace if scale == "log" else np.linspace
            values = spread(low, high, points)
        if name in WHOLE:
            values = values.round()
        values = np.unique(values)
        if not len(values):
            raise InputError(f"{where}.values is empty: give at least one value of {name}")
        return cls(name, values, scale)


def _numbers(what: str, given: Sequence[Any]) -> NDArray[np.float64]:
    bad = [v for v in given if isinstance(v, str | None) or not np.isfinite(float(v))]
    if bad:
        raise InputError(f"{what} must be finite numbers, got {bad[0]}")
    return np.array([float(v) for v in given])


@dataclass(frozen=True)
class Grid:
    """Panels of cells, all ways to put one value of each axis together.

    Attributes:
        x, y: the axes of every panel.
        panels: a third parameter with a panel a value; None for one panel.
        base: the parameters that no axis sets.
    """

    x: Axis
    y: Axis
    panels: Axis | None
    base: Mapping[str, float]

    @property
    def axes(self) -> list[Axis]:
        """Panels, y, x: the order of the arrays' dimensions."""
        return [axis for axis in (self.panels, self.y, self.x) if axis is not None]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Panels, rows and columns."""
        return (
            len(self.panels.values) if self.panels else 1,
            len(self.y.values),
            len(self.x.values),
        )

    def settings(self) -> list[Setting]:
        """Of every cell, in the order of the arrays.

        Raises:
            InputError: an axis set twice, or a cell out of range.
        """
        names = [axis.name for axis in self.axes]
        if len(set(names)) < len(names):
            raise InputError(f"the axes are {', '.join(names)}: choose different parameters")
        cells = product(*(axis.values.tolist() for axis in self.axes))
        return [
            setting_of(combine(self.base, dict(zip(names, cell, strict=True)))) for cell in cells
        ]
