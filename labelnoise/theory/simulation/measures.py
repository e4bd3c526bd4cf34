"""What is read off many runs at one step."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from labelnoise.theory.simulation.descent import BatchedDescent


def training_measures(run: BatchedDescent) -> dict[str, Float[Tensor, " b"]]:
    """Coefficients and training accuracies of every run, (b,) each; NaN over no samples.

    ``gamma_max``, ``gamma_mean`` over all filters; ``rho_max_clean``, ``rho_max_noisy`` over
    filters and clean or noisy samples; ``rho_bar_mean_clean``, ``rho_bar_mean_noisy`` over the
    filters of the given label's class, ``rho_underbar_mean`` over those of the other one;
    ``acc_clean``, ``acc_noisy``, the share of them predicted as the *given* label, of which the
    latter is the ``memorized_fraction``; ``loss``, the mean of log(1 + exp(-noisy_y f)).

    Keeping the samples whose loss is below log 2 keeps those predicted as their given label. Of
    this rule are the ``selection_precision``, clean samples kept / samples kept, and the
    ``selection_recall``, clean samples kept / clean samples, which is ``acc_clean``.

    Source: arXiv 2505.18909, the coefficients and sample selection.
    """
    gamma, rho = run.gamma, run.rho
    noisy = run.is_noisy
    margin = run.given_sign * run.margin()
    fitted = margin > 0
    filled = run.filled
    own = (run.class_sign[:, None] * run.given_sign[:, None] > 0) & filled[..., None]
    bar = (rho * own).sum(1) / run.m[:, None]
    underbar = (rho * (~own & filled[..., None])).sum(1) / run.m[:, None]
    most = rho.amax(1)
    acc_clean, acc_noisy = _mean(fitted, ~noisy), _mean(fitted, noisy)
    return {
        "gamma_max": gamma.amax(1),
        "gamma_mean": gamma.sum(1) / (2 * run.m),
        "rho_max_clean": _largest(most, ~noisy),
        "rho_max_noisy": _largest(most, noisy),
        "rho_bar_mean_clean": _mean(bar, ~noisy),
        "rho_bar_mean_noisy": _mean(bar, noisy),
        "rho_underbar_mean": underbar.mean(1),
        "acc_clean": acc_clean,
        "acc_noisy": acc_noisy,
        "memorized_fraction": acc_noisy,
        "selection_precision": _mean(~noisy, fitted).to(rho),
        "selection_recall": acc_clean,
        "loss": F.softplus(-margin).mean(1),
    }


def held_out_errors(
    run: BatchedDescent,
    normals: Float[Tensor, "b rows s"],
    xi_std: Float[Tensor, " b"],
    orthogonal: Bool[Tensor, " b"],
) -> Float[Tensor, "b 2"]:
    r"""P(sign f != y | y = -1) and P(sign f != y | y = +1) over fresh samples.

    For a fresh xi the products <w, xi> of all filters are jointly normal with covariance sigma^2
    <w, w'>, without the part along mu where noise patches are projected off it: s draws of 2m
    numbers stand for s test samples of any dimension. Each is evaluated with both signal patches.
    f = 0 counts as wrong.

    Args:
        run: at the step of interest.
        normals: standard normal numbers, s test samples a run.
        xi_std: sigma_xi of each run.
        orthogonal: whether noise patches are projected off mu.
    """
    along, squared = run.product[..., -1].double(), run.features[:, -1, -1].double()
    projected = along[:, :, None] * along[:, None] / squared[:, None, None]
    covariance = run.weight_products().double() - orthogonal[:, None, None] * projected
    root = _root(covariance).to(normals) * xi_std.to(normals)[:, None, None]
    # Rounding in the rows of filters that are not there would decide where f is exactly 0.
    root = root * run.filled[..., None]
    response = run.responses(root @ normals)
    behind, ahead = run.signal_margins()
    wrong = torch.stack([response + behind[:, None] >= 0, response + ahead[:, None] <= 0], dim=1)
    return wrong.to(normals).mean(2)


def _root(covariance: Float[Tensor, "b p p"]) -> Float[Tensor, "b p p"]:
    """The symmetric root, also where filters are zero or linearly dependent.

    Unlike other roots it is one, so that rows of zeros beside a run change nothing about it.
    """
    value, vector = torch.linalg.eigh(covariance)
    return (vector * value.clamp_min(0).sqrt()[:, None]) @ vector.mT


def _largest(value: Float[Tensor, "b n"], where: Tensor) -> Float[Tensor, " b"]:
    found = value.masked_fill(~where, -torch.inf).amax(1)
    return torch.where(where.any(1), found, torch.nan)


def _mean(value: Tensor, where: Tensor) -> Float[Tensor, " b"]:
    """NaN where nothing is meant."""
    return (value * where).sum(1) / where.sum(1)
