"""What is read off many runs at one step."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.theory.simulation.descent import BatchedDescent

# Runs whose test samples are in memory together: few enough to stay near the processor.
TESTED_AT_ONCE = 32


def training_measures(run: BatchedDescent) -> dict[str, Float[Tensor, " b"]]:
    """Coefficients and training accuracies of every run, (b,) each; NaN over no samples.

    ``gamma_max``, ``gamma_mean`` over all filters; ``rho_max_clean``, ``rho_max_noisy`` over
    filters and clean or noisy samples; ``rho_bar_mean_clean``, ``rho_bar_mean_noisy`` over the
    filters of the given label's class, ``rho_underbar_mean`` over those of the other one;
    ``acc_clean``, ``acc_noisy``, the share of them predicted as the *given* label, of which the
    latter is the ``memorized_fraction``, with f = 0 as a prediction of -1; ``loss``, the mean of
    log(1 + exp(-noisy_y f)).

    Keeping the samples whose loss is below log 2 keeps those predicted as their given label. Of
    this rule are the ``selection_precision``, clean samples kept / samples kept, and the
    ``selection_recall``, clean samples kept / clean samples, which is ``acc_clean``.

    Source: arXiv 2505.18909, the coefficients and sample selection.
    """
    gamma, noisy = run.gamma, run.is_noisy
    response, given = run.margin(), run.given_sign > 0
    margin = run.given_sign * response
    fitted = (response > 0) == given
    squared = run.patch_squared
    moved = run.coefficients[:, : run.n]
    most = moved.amax(2) * squared
    # Filters that are not there have not moved.
    halves = torch.stack([run.class_sign < 0, run.class_sign > 0], dim=1).to(moved)
    behind, ahead = ((moved @ halves) * (squared / run.m[:, None])[..., None]).unbind(2)
    bar, underbar = torch.where(given, ahead, behind), torch.where(given, behind, ahead)
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
        "selection_precision": _mean(~noisy, fitted),
        "selection_recall": acc_clean,
        "loss": F.softplus(-margin).mean(1),
    }


def held_out_errors(
    run: BatchedDescent,
    normals: Float[Tensor, "u rows s"],
    xi_std: Float[Tensor, " b"],
    orthogonal: Bool[Tensor, " b"],
    whose: Int[Tensor, " b"] | None = None,
) -> Float[Tensor, "b 2"]:
    r"""P(sign f != y | y = -1) and P(sign f != y | y = +1) over fresh samples.

    For a fresh xi the products <w, xi> of all filters are jointly normal with covariance sigma^2
    <w, w'>, without the part along mu where noise patches are projected off it: s draws of 2m
    numbers stand for s test samples of any dimension. Each is evaluated with both signal patches.
    f = 0 counts as y = -1, the first of two equal logits.

    Args:
        run: at the step of interest.
        normals: standard normal numbers, s test samples each.
        xi_std: sigma_xi of each run.
        orthogonal: whether noise patches are projected off mu.
        whose: which of the normal numbers each run takes; None: the first run the first, and so on.
    """
    along, squared = run.product[:, -1].double(), run.features[:, -1, -1].double()
    projected = along[:, :, None] * along[:, None] / squared[:, None, None]
    covariance = run.weight_products().double() - orthogonal[:, None, None] * projected
    root = _root(covariance, run.filled).to(normals) * xi_std.to(normals)[:, None, None]
    # Rounding in the rows of filters that are not there would decide where f is exactly 0.
    root = root * run.filled[..., None]
    whose = torch.arange(len(root), device=root.device) if whose is None else whose
    vote = (run.class_sign / run.m[:, None]).to(normals)[:, None]
    blocks = zip(*(x.split(TESTED_AT_ONCE) for x in (vote, root, whose)), strict=True)
    response = torch.cat(
        [(weight @ (part @ normals[rows]).relu_())[:, 0] for weight, part, rows in blocks]
    )
    behind, ahead = run.signal_margins()
    wrong = torch.stack([response + behind[:, None] > 0, response + ahead[:, None] <= 0], dim=1)
    return wrong.to(normals).mean(2)


def _root(
    covariance: Float[Tensor, "b p p"], filled: Bool[Tensor, "b p"]
) -> Float[Tensor, "b p p"]:
    """A root that rows of zeros beside a run's change nothing about.

    That of Cholesky, and where filters are zero or linearly dependent the symmetric one, which
    exists as well and takes thirty times as long.
    """
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(covariance + torch.diag_embed((~filled).double()))
    hard = failed != 0
    if hard.any():
        value, vector = torch.linalg.eigh(covariance[hard])
        root[hard] = (vector * value.clamp_min(0).sqrt()[:, None]) @ vector.mT
    return root


def _largest(value: Float[Tensor, "b n"], where: Tensor) -> Float[Tensor, " b"]:
    found = value.masked_fill(~where, -torch.inf).amax(1)
    return torch.where(where.any(1), found, torch.nan)


def _mean(value: Tensor, where: Tensor) -> Float[Tensor, " b"]:
    """The mean over the samples in ``where``; NaN for a run without one."""
    return (value * where).sum(1) / where.sum(1)
