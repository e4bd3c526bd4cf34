"""The setting of one theory run."""

from __future__ import annotations

from dataclasses import dataclass, fields

from labelnoise.checks import BELOW_ONE, NOT_NEGATIVE, POSITIVE, Range, check_number
from labelnoise.theory.bounds import stage_one_length

_SIZE = Range(1, whole=True)  # d without a limit: a run costs the same for every d
_RANGES = {
    "n": _SIZE,
    "d": _SIZE,
    "m": _SIZE,
    "signal_norm": POSITIVE,
    "xi_std": POSITIVE,
    "tau_plus": BELOW_ONE,
    "tau_minus": BELOW_ONE,
    "eta": POSITIVE,
    "sigma_0": NOT_NEGATIVE,
}


@dataclass(frozen=True)
class Setting:
    """Signal-noise data, two-layer CNN and gradient descent of one run.

    Attributes:
        n: number of training samples.
        d: dimension of a patch.
        m: number of filters of each class.
        signal_norm: |mu|.
        xi_std: sigma_xi.
        tau_plus, tau_minus: P(noisy = -1 | y = +1) and P(noisy = +1 | y = -1).
        eta: the learning rate.
        sigma_0: standard deviation of the initial weights.
        orthogonal: project noise patches orthogonally to mu, as in arXiv 2510.17526.

    Raises:
        InputError: a number that is not finite, or outside its range.
    """

    n: int = 200
    d: int = 800
    m: int = 20
    signal_norm: float = 5.656854249492381
    xi_std: float = 1.0
    tau_plus: float = 0.2
    tau_minus: float = 0.2
    eta: float = 0.05
    sigma_0: float = 0.01
    orthogonal: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name != "orthogonal":
                allowed = _RANGES[name]
                is_whole = allowed.whole and isinstance(value, float) and value.is_integer()
                check_number(name, int(value) if is_whole else value, allowed)

    @property
    def theory_t1(self) -> float:
        r"""The order of T1 in steps, :math:`n m / (\eta \sigma^2 d)` (`stage_one_length`)."""
        return stage_one_length(self.n, self.m, self.eta, self.xi_std, self.d)
