"""Read signal learning (gamma) and noise memorization (rho) off the two-layer CNN's weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labelnoise.errors import InputError

# Cholesky loses about as many digits as the condition number has: beyond this limit fewer than six
# of float64's sixteen would be left, and that happens to duplicated patches, not to random ones
# (200 random patches and a signal in the smallest dimension allowed, 201, stay near 1e6).
CONDITION_LIMIT = 1e10


class Coefficients(NamedTuple):
    """How far each filter has moved along the signal and along every noise patch.

    Shapes: ``gamma`` (K, m), signal learning; ``rho`` (K, m, n), noise memorization. K = 2: class 1
    is y = +1 and class 0 is y = -1.
    """

    gamma: Tensor
    rho: Tensor


def feature_directions(
    signal: Float[Tensor, " d"], noise_patches: Float[Tensor, "n d"]
) -> Float[Tensor, "n+1 d"]:
    """Stack mu, xi_1, ..., xi_n as float64 rows, refusing what no coefficient can be given to.

    Raises:
        InputError: for no noise patch, for unequal lengths, and for a vector that is zero or not
            finite.
    """
    if signal.ndim != 1 or noise_patches.shape != (max(len(noise_patches), 1), len(signal)):
        raise InputError(
            f"signal and noise_patches have shapes {tuple(signal.shape)} and "
            f"{tuple(noise_patches.shape)}, they must be (d,) and (n, d) with n >= 1: give each "
            "sample's noise patch as one row of the signal's length"
        )
    patches = noise_patches.detach().double()
    directions = torch.cat([signal.detach()[None].to(patches), patches])
    norm = directions.norm(dim=1)
    unusable = (~(norm > 0) | ~norm.isfinite()).nonzero().flatten()
    if len(unusable):
        first = int(unusable[0])
        name = "the signal" if first == 0 else f"noise patch {first - 1}"
        raise InputError(
            f"{name} has norm {norm[first].item():g}, which must be finite and above 0: filters "
            "cannot move along it, so give a nonzero vector of finite numbers"
        )
    return directions


class SignalNoiseDecomposition:
    r"""Decompose the movement of the filters into the signal and the noise patches.

    .. math::
        w_{j,r}(t) = w_{j,r}(0) + j\,\gamma_{j,r}\,\mu/|\mu|^2
            + \sum_i \rho_{j,r,i}\,\xi_i/|\xi_i|^2

    with j = +1 for class 1 and j = -1 for class 0, so gamma grows positive for both. The n + 1
    coefficients of a filter solve the normal equations of the vectors scaled to unit length; their
    solver is computed once, after which each decomposition is one matrix product. Exact for any
    optimizer whose steps stay in the span of the features (momentum and mini-batches do, weight
    decay does not: look at `residual`).

    Args:
        signal: mu, (d,).
        noise_patches: xi_1, ..., xi_n as rows, (n, d), in the order of the samples.

    Attributes:
        condition: of the Gram matrix, in the 1-norm; coefficients are exact to about
            condition x 1e-16, relative to the movement of the filter.

    Raises:
        InputError: when d < n + 1 or the vectors are otherwise not linearly independent.

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
        """Return gamma (2, m) and rho (2, m, n) in float64, by least squares.

        Raises:
            InputError: when the weights are not of shape (2, m, d).
        """
        moved = self._float64(weight) - self._float64(initial_weight)
        solution = moved @ self._solver
        return Coefficients(_class_sign(solution) * solution[..., 0], solution[..., 1:])

    @torch.no_grad()
    def reconstruct_weights(
        self, coefficients: Coefficients, initial_weight: Float[Tensor, "K m d"]
    ) -> Float[Tensor, "K m d"]:
        """Return the float64 weights that have these coefficients, the decomposition's formula."""
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
        """Return |w - rebuilt w| / |w - w(0)|, the share of the movement left unexplained.

        Between 0 and 1 for this class's own coefficients (None: computed here), and 0 where nothing
        moved. Training in float32 leaves about 1e-6; weight decay leaves much more, as it shrinks
        w(0) itself.
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
                f"weight has shape {tuple(weight.shape)}, the decomposition takes (2, m, {d}): "
                "two classes of m filters as long as the signal"
            )
        return weight.to(self._solver)


def own_class_mask(rho: Float[Tensor, "K m n"], label: Int[Tensor, " n"]) -> Bool[Tensor, "K 1 n"]:
    """Return (K, 1, n): True where the filter's class k is the given label of sample i."""
    classes = torch.arange(len(rho), device=rho.device)
    return (classes[:, None] == label.to(rho.device))[:, None]


def coefficient_scalars(
    coefficients: Coefficients, label: Int[Tensor, " n"], is_noisy: Bool[Tensor, " n"]
) -> dict[str, float]:
    """Summarise coefficients over filters and samples, nan where there are no such samples.

    ``gamma_max`` and ``gamma_mean`` are over all filters. ``rho_max``, ``rho_max_clean``,
    ``rho_max_noisy``, ``rho_mean_clean`` and ``rho_mean_noisy`` are of rho_bar, over the filters of
    each sample's own label; ``rho_min`` is the most negative rho_underbar.

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
    """j of each filter's class, (2, 1): -1 for class 0, +1 for class 1."""
    return per_class.new_tensor([[-1.0], [1.0]])


def _condition_number(gram: Tensor, cholesky: Tensor) -> float:
    inverse = torch.cholesky_inverse(cholesky)
    return float(torch.linalg.matrix_norm(gram, 1) * torch.linalg.matrix_norm(inverse, 1))
