"""The grid of a diagram: two axes, panels and their cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelnoise.checks import whole
from labelnoise.config.options import check_value
from labelnoise.errors import InputError
from labelnoise.phase_diagram.parameters import PARAMETERS, WHOLE, combine, setting_of
from labelnoise.phase_diagram.read import choice, mapping, number, numbers
from labelnoise.theory.simulation import Setting

AXIS = ("name", "values", "from", "to", "points", "scale")
SCALES = ("linear", "log")
# Larger numbers are typing errors.
MOST_POINTS, MOST_CELLS = 100_000, 10_000_000


@dataclass(frozen=True)
class Axis:
    """A parameter and its ascending values.

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
        return PARAMETERS[self.name].label

    @classmethod
    def read(cls, where: str, words: Any) -> Axis:
        """An axis from the configuration: ``values``, or ``from``, ``to`` and ``points``.

        Raises:
            InputError: names ``where`` and the bad value.
        """
        example = "{name: d, values: [200,800]} or {name: d, from: 100, to: 1e6, points: 5}"
        words = mapping(where, words, AXIS, example)
        name = choice(f"{where}.name", words.get("name"), PARAMETERS)
        scale = choice(f"{where}.scale", words.get("scale", "linear"), SCALES)
        if words.get("values") is not None:
            values = np.array(numbers(f"{where}.values", words["values"]))
        elif words.get("from") is None or words.get("to") is None:
            raise InputError(f"{where} must be as {example}, got {words}")
        else:
            low, high = (number(f"{where}.{end}", words[end]) for end in ("from", "to"))
            points = words.get("points")
            check_value(f"{where}.points", points, int, whole(1, MOST_POINTS))
            if low > high or (scale == "log" and low <= 0):
                above = "be above 0 and " if scale == "log" else ""
                raise InputError(
                    f"{where}.from and {where}.to must {above}ascend on a {scale} axis, "
                    f"got {low:g} and {high:g}"
                )
            if low == high and points > 1:
                raise InputError(
                    f"{where}.from and {where}.to are both {low:g}: write two values, or "
                    f"{where}.points=1 for one"
                )
            spread = np.geomspace if scale == "log" else np.linspace
            values = spread(low, high, points)
        if name in WHOLE:
            values = values.round()
        return cls(name, np.unique(values), scale)


@dataclass(frozen=True)
class Grid:
    """The cells for all combinations of the values of the axes.

    Attributes:
        x, y: the axes of every panel.
        panels: a third parameter with a panel for each value; None for one panel.
        base: the parameters that no axis sets.
    """

    x: Axis
    y: Axis
    panels: Axis | None
    base: Mapping[str, float]

    @property
    def axes(self) -> list[Axis]:
        """Panels, y, x: the order of the dimensions of the arrays."""
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
        """The setting of every cell, in the order of the arrays.

        Raises:
            InputError: a parameter on two axes, or a cell out of range.
        """
        names = [axis.name for axis in self.axes]
        if len(set(names)) < len(names):
            raise InputError(f"the axes are {', '.join(names)}: choose different parameters")
        count = math.prod(self.shape)
        if count > MOST_CELLS:
            raise InputError(f"the axes make {count:,} cells, at most {MOST_CELLS:,} are possible")
        cells = product(*(axis.values.tolist() for axis in self.axes))
        return [
            setting_of(combine(self.base, dict(zip(names, cell, strict=True)))) for cell in cells
        ]
