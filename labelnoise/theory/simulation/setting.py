"""The setting of one theory run."""

from __future__ import annotations

from dataclasses import dataclass, fields

from labelnoise.errors import InputError
from labelnoise.theory.bounds import stage_one_length


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
            if name in ("n", "d", "m"):
                if int(value) != value or value < 1:
                    raise InputError(f"{name} must be a whole number of at least 1, got {value}")
            elif name.startswith("tau"):
                if not 0 <= value < 1:
                    raise InputError(f"{name} must be from 0 to below 1, got {value}")
            elif name == "sigma_0":
                if not 0 <= value < float("inf"):
                    raise InputError(f"sigma_0 must be 0 or more, got {value}")
            elif name != "orthogonal" and not 0 < value < float("inf"):
                raise InputError(f"{name} must be finite and above 0, got {value}")

    @property
    def theory_t1(self) -> float:
        r"""The order of T1 in steps, :math:`n m / (\eta \sigma^2 d)` (`stage_one_length`)."""
        return stage_one_length(self.n, self.m, self.eta, self.xi_std, self.d)
