"""A power law through the cells of a diagram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelnoise.errors import InputError
from labelnoise.phase_diagram.statistics import over_seeds
from labelnoise.seeding import derive_seed

DRAWS = 1000


@dataclass(frozen=True)
class Power:
    """y = factor x^slope, with the interval of 95 % of the slopes of bootstrap samples of seeds."""

    slope: float
    low: float
    high: float
    factor: float

    def __str__(self) -> str:
        return f"slope {self.slope:.3f} [{self.low:.3f}, {self.high:.3f}], factor {self.factor:.3g}"


def fit_power(x: NDArray[Any], y: NDArray[Any], *, seed: int = 0) -> Power:
    """Least squares in logarithms of the cells' means over seeds, where both are above 0.

    The cells of a diagram share their seeds, so what is drawn anew for the interval are seeds, not
    cells.

    Args:
        x: (cells,).
        y: (cells, seeds); nan where a run has no number.

    Raises:
        InputError: fewer than three cells with a number, or all at one x.

    Example:
        >>> x = np.array([1.0, 10.0, 100.0, 1000.0])
        >>> print(fit_power(x, 3 * x[:, None] ** 2))
        slope 2.000 [2.000, 2.000], factor 3
    """
    generator = np.random.default_rng(derive_seed(seed, "bootstrap"))
    seeds = y.shape[1]
    slope, factor = _fit(x, y)
    drawn = [_fit(x, y[:, generator.integers(seeds, size=seeds)])[0] for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Power(slope, float(low), float(high), factor)


def _fit(x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    mean = over_seeds(y)[0]
    with np.errstate(invalid="ignore"):
        kept = (x > 0) & (mean > 0)
    a, b = np.log(x[kept]), np.log(mean[kept])
    if len(a) < 3 or np.ptp(a) == 0:
        raise InputError(
            f"a power law needs three cells with a number at different places, there are {len(a)}"
        )
    slope, offset = np.polyfit(a, b, 1)
    return float(slope), float(np.exp(offset))
