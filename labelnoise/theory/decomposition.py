"""Compute signal learning (gamma) and noise memorization (rho) from the two-layer CNN's weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labelnoise.errors import InputError

# Cholesky loses about as many digits as the condition number has. Beyond this limit fewer than six
# of the sixteen digits of float64 are left. This happens with duplicated patches, not with random
# ones: 200 random patches and a signal in the smallest allowed dimension, 201, give about 1e6.
CONDITION_LIMIT = 1e10


class Coefficients(NamedTuple):
    """Coefficients of each filter: ``gamma`` (K, m) of the signal, ``rho`` (K, m, n) of noise."""

    gamma: Tensor
    rho: Tensor


def feature_directions(
    signal: Float[Tensor, " d"], noise_patches: Float[Tensor, "n d"]
) -> Float[Tensor, "n+1 d"]:
    """Stack mu, xi_1, ..., xi_n as float64 rows.

    Raises:
        InputError: no noise patch, unequal lengths, or a vector that is zero or not finite.
    """
    if signal.ndim != 1 or noise_patches.shape != (max(len(noise_patches), 1), len(signal)):
        raise InputError(
            f"signal and noise_patches have shapes {tuple(signal.shape)} and "
            f"{tuple(noise_patches.shape)} but must have (d,) and (n, d) with n >= 1: give the "
            "noise patch of each sample as a row of the length of the signal"
        )
    patches = noise_patches.detach().double()
    directions = torch.cat([signal.detach()[None].to(patches), patches])
    norm = directions.norm(dim=1)
    unusable = (~(norm > 0) | ~norm.isfinite()).nonzero().flatten()
    if len(unusable):
        first = int(unusable[0])
        name = "the signal" if first == 0 else f"noise patch {first - 1}"
        raise InputError(
            f"{name} has norm {norm[first].item():g}, which must be finite and above 0: give a "
            "nonzero vector of finite numbers"
        )
    return directions


class SignalNoiseDecomposition:
    r"""Decompose the change of the filters into the signal and the noise patches.

    .. math::
        w_{j,r}(t) = w_{j,r}(0) + j\,\gamma_{j,r}\,\mu/|\mu|^2
            + \sum_i \rho_{j,r,i}\,\xi_i/|\xi_i|^2

    with j = +1 for class 1 and j = -1 for class 0, so gamma becomes positive for both classes. The
    n + 1 coefficients of a filter solve the normal equations of the vectors scaled to unit length.
    The solver is computed once; a decomposition is then one matrix product. It is exact if the
    steps of the optimizer stay in the span of the features. This holds with momentum and
    mini-batches but not with weight decay (see `residual`).

    Args:
        signal: mu, (d,).
        noise_patches: xi_1, ..., xi_n as rows, (n, d), in the order of the samples.

    Attributes:
        condition: condition number of the Gram matrix in the 1-norm. The coefficients have a
            relative error of about condition x 1e-16.

    Raises:
        InputError: d < n + 1, or the vectors are not linearly independent.

    Source: arXiv 2505.18909, the signal-noise decomposition.

    Example:
        >>> xi = torch.tensor([[0.0, 3.0, 0.0], [0.0, 0.0, 2.0]])
        >>> decomposition = SignalNoiseDecomposition(torch.tensor([2.0, 0.0, 0.0]), xi)
        >>> start = torch.zeros(2, 1, 3)
        >>> end = torch.tensor([[[-1.0, 0.0, 0.5]], [[1.0, 1.0, 0.0]]])
        >>> gamma, rho = decomposition.coefficients(end, start)
        >>> gamma.tolist(), rho.tolist()
        ([[2.0], [2.0]], [[[0.0, 1.0]], [[3.0, 0.0]]])
    """

    def __init__(self, signal: Float[Tensor, " d"], noise_patches: Float[Tensor, "n d"]) -> None:
        directions = feature_directions(signal, noise_patches)
        n, d = noise_patches.shape
        if d < n + 1:
            raise InputError(
                f"d = {d} with n = {n} samples: coefficients are unique only when mu, xi_1, ..., "
                f"xi_n are linearly independent, which needs d >= n + 1 = {n + 1}; raise d or "
                "take fewer samples"
            )
        norm = directions.norm(dim=1, keepdim=True)
        unit = directions / norm
        gram = unit @ unit.T
        cholesky, failed_at = torch.linalg.cholesky_ex(gram)
        self.condition = float("inf") if failed_at else _condition_number(gram, cholesky)
        if not self.condition <= CONDITION_LIMIT:
            raise InputError(
                f"mu and the {n} noise patches are too close to linearly dependent for unique "
                f"coefficients (condition number {self.condition:.0e}, at most "
                f"{CONDITION_LIMIT:.0e} allowed): remove repeated patches, or raise d above {d}"
            )
        self._per_coefficient = unit / norm
        self._solver = (norm * torch.cholesky_solve(unit, cholesky)).T.contiguous()

    @torch.no_grad()
    def coefficients(
        self, weight: Float[Tensor, "K m d"], initial_weight: Float[Tensor, "K m d"]
    ) -> Coefficients:
        """Return gamma and rho in float64, by least squares.

        Raises:
            InputError: the weights do not have shape (2, m, d).
        """
        moved = self._float64(weight) - self._float64(initial_weight)
        solution = moved @ self._solver
        return Coefficients(_class_sign(solution) * solution[..., 0], solution[..., 1:])

    @torch.no_grad()
    def reconstruct_weights(
        self, coefficients: Coefficients, initial_weight: Float[Tensor, "K m d"]
    ) -> Float[Tensor, "K m d"]:
        """Return the float64 weights with these coefficients, by the formula of the class."""
        start = self._float64(initial_weight)
        gamma, rho = (part.to(start) for part in coefficients)
        along = torch.cat([(_class_sign(rho) * gamma)[..., None], rho], dim=-1)
        weight: Tensor = start + along @ self._per_coefficient
        return weight

    @torch.no_grad()
    def residual(
        self,
        weight: Float[Tensor, "K m d"],
        initial_weight: Float[Tensor, "K m d"],
        coefficients: Coefficients | None = None,
    ) -> float:
        """Return |w - rebuilt w| / |w - w(0)|, the share of the change that is not explained.

        It is between 0 and 1 for the coefficients of :meth:`coefficients` (None computes them), and
        0 if the weights did not change. Training in float32 gives about 1e-6. Weight decay gives
        much more, because it shrinks w(0).
        """
        if coefficients is None:
            coefficients = self.coefficients(weight, initial_weight)
        rebuilt = self.reconstruct_weights(coefficients, initial_weight)
        end = self._float64(weight)
        moved = (end - self._float64(initial_weight)).norm().item()
        return (end - rebuilt).norm().item() / moved if moved > 0 else 0.0

    def _float64(self, weight: Tensor) -> Tensor:
        d = len(self._solver)
        if weight.ndim != 3 or weight.shape[0] != 2 or weight.shape[2] != d:
            raise InputError(
                f"weight has shape {tuple(weight.shape)} but must have (2, m, {d}): "
                "two classes of m filters of the length of the signal"
            )
        return weight.to(self._solver)


def own_class_mask(rho: Float[Tensor, "K m n"], label: Int[Tensor, " n"]) -> Bool[Tensor, "K 1 n"]:
    """Return (K, 1, n): True if class k is the given label of sample i."""
    classes = torch.arange(len(rho), device=rho.device)
    return (classes[:, None] == label.to(rho.device))[:, None]


def coefficient_scalars(
    coefficients: Coefficients, label: Int[Tensor, " n"], is_noisy: Bool[Tensor, " n"]
) -> dict[str, float]:
    """Summarize coefficients over filters and samples; nan for a summary over no samples.

    ``gamma_max`` and ``gamma_mean`` are over all filters. ``rho_max``, ``rho_max_clean``,
    ``rho_max_noisy``, ``rho_mean_clean`` and ``rho_mean_noisy`` are of rho_bar, over the filters of
    the given label of each sample. ``rho_min`` is the most negative rho_underbar.

    Example:
        >>> rho = torch.tensor([[[3.0, -1.0]], [[-2.0, 4.0]]])
        >>> both = Coefficients(torch.tensor([[1.0], [2.0]]), rho)
        >>> scalars = coefficient_scalars(both, torch.tensor([0, 1]), torch.tensor([False, True]))
        >>> scalars["gamma_max"], scalars["rho_max_clean"], scalars["rho_max_noisy"]
        (2.0, 3.0, 4.0)
        >>> scalars["rho_min"]
        -2.0
    """
    gamma, rho = coefficients
    own = own_class_mask(rho, label).expand_as(rho)
    noisy = is_noisy.to(rho.device).expand_as(rho)
    on_clean, on_noisy = rho[own & ~noisy], rho[own & noisy]
    return {
        "gamma_max": _largest(gamma),
        "gamma_mean": gamma.mean().item(),
        "rho_max": _largest(rho[own]),
        "rho_max_clean": _largest(on_clean),
        "rho_max_noisy": _largest(on_noisy),
        "rho_mean_clean": on_clean.mean().item(),
        "rho_mean_noisy": on_noisy.mean().item(),
        "rho_min": -_largest(-rho[~own]),
    }


def _largest(values: Tensor) -> float:
    return values.max().item() if values.numel() else float("nan")


def _class_sign(per_class: Tensor) -> Tensor:
    """The sign j of each class, (2, 1): -1 for class 0, +1 for class 1."""
    return per_class.new_tensor([[-1.0], [1.0]])


def _condition_number(gram: Tensor, cholesky: Tensor) -> float:
    inverse = torch.cholesky_inverse(cholesky)
    return float(torch.linalg.matrix_norm(gram, 1) * torch.linalg.matrix_norm(inverse, 1))
