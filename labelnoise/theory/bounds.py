r"""What the two-stage theory says in closed form (arXiv 2505.18909).

d is the dimension of a patch, n the number of training samples, m the filters per class, eta the
learning rate, sigma (``xi_std``) the standard deviation of the noise patch's entries, mu the signal
and tau a flip rate. The theory is in orders of magnitude: where it leaves a constant C unknown, C
is an argument to be chosen, and where it says "of the order of", the function leaves the factor 1.
"""

from __future__ import annotations

import math

from labelnoise.checks import POSITIVE, Range, check_number


def snr(signal_norm: float, xi_std: float, d: int) -> float:
    r"""Return the signal-to-noise ratio :math:`|\mu| / (\sigma \sqrt d)`.

    Source: definition of SNR.

    Raises:
        InputError: unless all are finite and above 0.

    Example:
        >>> snr(signal_norm=5.0, xi_std=0.5, d=100)
        1.0
    """
    _require_positive(signal_norm=signal_norm, xi_std=xi_std, d=d)
    return signal_norm / (xi_std * math.sqrt(d))


def n_snr_squared(n: int, signal_norm: float, xi_std: float, d: int) -> float:
    r"""Return :math:`n\,\mathrm{SNR}^2`, which the theory wants of the order of 1.

    Signal and noise patches are then learned at comparable rates, and the two stages appear: the
    key condition of the main theorems. Neither the constants nor the end of the range are known.

    Raises:
        InputError: unless all are finite and above 0.

    Example:
        >>> n_snr_squared(n=8, signal_norm=5.0, xi_std=0.5, d=100)
        8.0
    """
    _require_positive(n=n)
    return n * snr(signal_norm, xi_std, d) ** 2


def signal_norm_for(n_snr_squared: float, n: int, xi_std: float, d: int) -> float:
    r"""Return :math:`|\mu| = \sigma \sqrt{d \cdot n\mathrm{SNR}^2 / n}`, inverting `n_snr_squared`.

    Raises:
        InputError: unless all are finite and above 0.

    Example:
        >>> round(signal_norm_for(n_snr_squared=8.0, n=200, xi_std=1.0, d=800), 3)
        5.657
    """
    _require_positive(n_snr_squared=n_snr_squared, n=n, xi_std=xi_std, d=d)
    return xi_std * math.sqrt(d * n_snr_squared / n)


def stage_one_length(n: int, m: int, eta: float, xi_std: float, d: int) -> float:
    r"""Return :math:`n m / (\eta \sigma^2 d)`, the order of T1, the step at which Stage I ends.

    At T1 all clean samples are fitted, noisy ones are still predicted as their true label, and
    gamma exceeds rho_bar, both of constant order. The constant of T1 is unknown: compare runs by
    this number, do not read it as a step to stop at.

    Source: main theorem, Stage I.

    Raises:
        InputError: unless all are finite and above 0.

    Example:
        >>> round(stage_one_length(n=200, m=20, eta=0.05, xi_std=1.0, d=800), 9)
        100.0
    """
    _require_positive(n=n, m=m, eta=eta, xi_std=xi_std, d=d)
    return n * m / (eta * xi_std**2 * d)


def early_ratio(n_snr_squared: float, tau: float) -> float:
    r"""Return about how much larger gamma is than rho_bar early in Stage I.

    .. math:: n\,\mathrm{SNR}^2 (1 - 2\tau) / 2

    While all loss derivatives are still -1/2, a filter's gamma gains from the half of the samples
    whose signal patch activates it, of which a share tau pulls backwards, and its rho_bar from one
    sample alone. Below 1 memorization is the faster one from the start.

    Source: derived from the first step of `CoefficientRecursion`, for balanced classes flipped at
    the same rate; an approximation, not a statement of the paper.

    Raises:
        InputError: unless n_snr_squared is finite and above 0 and tau in [0, 0.5).

    Example:
        >>> round(early_ratio(n_snr_squared=8.0, tau=0.2), 9)
        2.4
    """
    _require_positive(n_snr_squared=n_snr_squared)
    _require_flip_rate(tau=tau)
    return n_snr_squared * (1 - 2 * tau) / 2


def early_stopping_error_bound(d: int, n: int, C: float) -> float:
    r"""Return :math:`\exp(-d / (C n))`, which bounds the clean test error on stopping at T1.

    Source: early stopping result. The constant C is unknown: choose one to see the shape in d / n.

    Raises:
        InputError: unless all are finite and above 0.

    Example:
        >>> round(early_stopping_error_bound(d=800, n=200, C=1.0), 4)
        0.0183
    """
    _require_positive(d=d, n=n, C=C)
    return math.exp(-d / (C * n))


def stage_two_error_floor(tau_plus: float, tau_minus: float) -> float:
    r"""Return :math:`\min(\tau_+, \tau_-) / 2`, the theory's lower bound on the last test error.

    At the end of Stage II, when the training loss has converged, at least a constant share of the
    noisy samples has rho_bar above gamma. It is unknown whether the test labels meant are clean or
    flipped as well: compare both errors with it. Away from the theorem's conditions the clean
    error can lie below it, as it does at this project's defaults.

    Args:
        tau_plus: P(noisy = -1 | y = +1), in [0, 0.5).
        tau_minus: P(noisy = +1 | y = -1), in [0, 0.5).

    Source: main theorem, Stage II.

    Raises:
        InputError: for rates outside [0, 0.5).

    Example:
        >>> stage_two_error_floor(tau_plus=0.2, tau_minus=0.3)
        0.1
    """
    _require_flip_rate(tau_plus=tau_plus, tau_minus=tau_minus)
    return 0.5 * min(tau_plus, tau_minus)


def signal_power(n: int, signal_norm: float, xi_std: float, d: int) -> float:
    r"""Return :math:`n |\mu|^4 / (\sigma^4 d)`, which bounds the test error without label noise.

    Without label noise there are no two stages, and training to convergence generalises: the test
    error is at most :math:`\exp(-n |\mu|^4 / (C \sigma^4 d))`. The constant C is unknown.

    Source: noise-free theorem.

    Raises:
        InputError: unless all are finite and above 0.

    Example:
        >>> signal_power(n=100, signal_norm=2.0, xi_std=1.0, d=800)
        2.0
    """
    _require_positive(n=n, signal_norm=signal_norm, xi_std=xi_std, d=d)
    return n * signal_norm**4 / (xi_std**4 * d)


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        check_number(name, value, POSITIVE)


def _require_flip_rate(**rates: float) -> None:
    for name, rate in rates.items():
        check_number(name, rate, Range(0, 0.5, below=True))  # most labels are correct
