"""The lines of the theory in a diagram."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labelnoise.theory import bounds
from labelnoise.theory.simulation import Setting


class Boundary(NamedTuple):
    """A level line of a field.

    Attributes:
        label: the label, with ``{level:g}`` for the level.
        field: maps the setting of a cell and its drawn mean to a number.
    """

    label: str
    field: Callable[[Setting, float], float]


# The level of a line replaces the unknown constant of the theory.
BOUNDARIES: dict[str, Boundary] = {
    "n_snr_squared": Boundary(
        r"$n\,$SNR$^2$ = {level:g}",
        lambda s, _: bounds.n_snr_squared(s.n, s.signal_norm, s.xi_std, s.d),
    ),
    # At level 1 the largest gamma and the largest rho_bar grow equally in the first steps. A filter
    # that is active on +mu is active only for y = +1, so the largest gamma is that of the class
    # with fewer wrong labels.
    "early_ratio": Boundary(
        r"$n\,$SNR$^2 (1 - 2\tau) / 2$ = {level:g}",
        lambda s, _: bounds.early_ratio(
            bounds.n_snr_squared(s.n, s.signal_norm, s.xi_std, s.d), min(s.tau_plus, s.tau_minus)
        ),
    ),
    "signal_power": Boundary(
        r"$n|\mu|^4 / \sigma_\xi^4 d$ = {level:g}",
        lambda s, _: bounds.signal_power(s.n, s.signal_norm, s.xi_std, s.d),
    ),
    "early_stopping_bound": Boundary(
        r"$\exp(-d/n)$ = {level:g}",
        lambda s, _: bounds.early_stopping_error_bound(s.d, s.n, C=1.0),
    ),
    "theory_t1": Boundary(
        r"$n m / \eta\sigma_\xi^2 d$ = {level:g}",
        lambda s, _: bounds.stage_one_length(s.n, s.m, s.eta, s.xi_std, s.d),
    ),
    # The line where the drawn quantity equals the floor: use it with test errors, at level 0.
    "stage_two_floor": Boundary(
        r"min($\tau_+, \tau_-$) / 2",
        lambda s, value: value - bounds.stage_two_error_floor(s.tau_plus, s.tau_minus),
    ),
}


def line(name: str, settings: Sequence[Setting], mean: NDArray[Any]) -> NDArray[np.float64]:
    """The field of a boundary over the cells, in the shape of ``mean``."""
    field = BOUNDARIES[name].field
    found = [field(s, v) for s, v in zip(settings, mean.ravel().tolist(), strict=True)]
    return np.array(found).reshape(mean.shape)
