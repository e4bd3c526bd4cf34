r"""Closed-form results of the two-stage theory (arXiv 2505.18909).

d is the dimension of a patch, n the number of training samples, m the number of filters of each
class, eta the learning rate, sigma (``xi_std``) the standard deviation of the entries of the noise
patch, mu the signal and tau a flip rate. The theory gives orders of magnitude. An unknown constant
C of the theory is an argument here. For "of the order of" a function uses the factor 1.
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
    r"""Return :math:`n\,\mathrm{SNR}^2`, which must be of the order of 1 in the theory.

    Signal and noise patches are then learned at comparable rates, and the two stages appear. This
    is the key condition of the main theorems. The constants and the range are unknown.

    Raises:
        InputError: unless all are finite and above 0.

    Example:
        >>> n_snr_squared(n=8, signal_norm=5.0, xi_std=0.5, d=100)
        8.0
    """
    _require_positive(n=n)
    return n * snr(signal_norm, xi_std, d) ** 2


def signal_norm_for(n_snr_squared: float, n: int, xi_std: float, d: int) -> float:
    r"""Return :math:`|\mu| = \sigma \sqrt{d \cdot n\mathrm{SNR}^2 / n}`; inverts `n_snr_squared`.

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

    At T1 all clean samples are fitted, noisy samples are still predicted as their true label, and
    gamma exceeds rho_bar; both are of constant order. The constant of T1 is unknown, so this number
    compares runs but is not a step to stop at.

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
    r"""Return the approximate ratio gamma / rho_bar early in Stage I.

    .. math:: n\,\mathrm{SNR}^2 (1 - 2\tau) / 2

    As long as all loss derivatives are -1/2, the gamma of a filter gains from half of the samples
    (their signal patch activates the filter); a share tau of these reduces it. Its rho_bar gains
    from one sample. If the ratio is below 1, memorization is faster from the start.

    Source: derived from the first step of gradient descent (`simulation.BatchedDescent`), for
    balanced classes flipped at the same rate; an approximation, not a statement of the paper.

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
    r"""Return :math:`\exp(-d / (C n))`, the bound on the clean test error after stopping at T1.

    Source: early stopping result. The constant C is unknown; a chosen C shows the shape in d / n.

    Raises:
        InputError: unless all are finite and above 0.

    Example:
        >>> round(early_stopping_error_bound(d=800, n=200, C=1.0), 4)
        0.0183
    """
    _require_positive(d=d, n=n, C=C)
    return math.exp(-d / (C * n))


def stage_two_error_floor(tau_plus: float, tau_minus: float) -> float:
    r"""Return :math:`\min(\tau_+, \tau_-) / 2`, the lower bound of the theory on the test error.

    At the end of Stage II, when the training loss has converged, at least a constant share of the
    noisy samples has rho_bar above gamma. It is unknown whether the bound is for clean or flipped
    test labels, so compare both errors with it. If the conditions of the theorem do not hold, the
    clean error can be lower, as with the defaults here.

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
    r"""Return :math:`n |\mu|^4 / (\sigma^4 d)`, for the bound on the error without label noise.

    Without label noise there are no two stages, and training to convergence generalizes: the test
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
