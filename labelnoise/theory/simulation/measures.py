"""Measurements of many runs at one step."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.theory.simulation.descent import BatchedDescent

# Number of runs with test samples in memory at once; few enough for the cache.
TESTED_AT_ONCE = 32


def training_measures(run: BatchedDescent) -> dict[str, Float[Tensor, " b"]]:
    """Coefficients and training accuracies of every run, (b,) each; NaN over no samples.

    - ``gamma_max``, ``gamma_mean``: over all filters.
    - ``rho_max_clean``, ``rho_max_noisy``: over all filters and the clean or the noisy samples.
    - ``rho_bar_mean_clean``, ``rho_bar_mean_noisy``: over the filters of the class of the given
      label; ``rho_underbar_mean``: over the filters of the other class, all samples.
    - ``acc_clean``, ``acc_noisy`` = ``memorized_fraction``: share of the clean and of the noisy
      samples that is predicted as the *given* label; f = 0 is a prediction of -1.
    - ``loss``: the mean of log(1 + exp(-noisy_y f)).
    - ``selection_precision``, ``selection_recall``: of the rule loss < log 2, which keeps the
      samples that are predicted as their given label. The recall equals ``acc_clean``.

    Source: arXiv 2505.18909, the coefficients and sample selection.
    """
    gamma, noisy = run.gamma, run.is_noisy
    response, given = run.margin(), run.given_sign > 0
    margin = run.given_sign * response
    fitted = (response > 0) == given
    squared = run.patch_squared
    moved = run.coefficients[:, : run.n]
    most = moved.amax(2) * squared
    # Rows without a filter are 0 and add nothing.
    halves = torch.stack([run.class_sign < 0, run.class_sign > 0], dim=1).to(moved)
    negative, positive = ((moved @ halves) * (squared / run.m[:, None])[..., None]).unbind(2)
    bar = torch.where(given, positive, negative)
    underbar = torch.where(given, negative, positive)
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
    draw: Int[Tensor, " b"] | None = None,
) -> Float[Tensor, "b 2"]:
    r"""P(sign f != y | y = -1) and P(sign f != y | y = +1) over fresh samples.

    For a fresh xi the products <w, xi> of all filters are jointly normal with covariance
    sigma^2 <w, w'>. If noise patches are orthogonal to mu, the part along mu is subtracted. So s
    draws of 2m numbers represent s test samples of any dimension. Each sample is evaluated with
    both signal patches. f = 0 counts as y = -1, the first of two equal logits.

    Args:
        run: the runs at the current step.
        normals: u sets of standard normal numbers for s test samples.
        xi_std: sigma_xi of each run.
        orthogonal: whether noise patches are projected orthogonally to mu.
        draw: the index of the set of normal numbers of each run; None: run i uses set i.
    """
    along, squared = run.product[:, -1].double(), run.features[:, -1, -1].double()
    projected = along[:, :, None] * along[:, None] / squared[:, None, None]
    covariance = run.weight_products().double() - orthogonal[:, None, None] * projected
    root = _root(covariance, run.filled).to(normals) * xi_std.to(normals)[:, None, None]
    # Rows without a filter must be exactly 0: rounding errors would decide the sign if f is 0.
    root = root * run.filled[..., None]
    draw = torch.arange(len(root), device=root.device) if draw is None else draw
    second_layer = (run.class_sign / run.m[:, None]).to(normals)[:, None]
    blocks = zip(*(x.split(TESTED_AT_ONCE) for x in (second_layer, root, draw)), strict=True)
    response = torch.cat(
        [(weight @ (part @ normals[rows]).relu_())[:, 0] for weight, part, rows in blocks]
    )
    negative, positive = run.signal_margins()
    wrong = torch.stack(
        [response + negative[:, None] > 0, response + positive[:, None] <= 0], dim=1
    )
    return wrong.to(normals).mean(2)


def _root(
    covariance: Float[Tensor, "b p p"], filled: Bool[Tensor, "b p"]
) -> Float[Tensor, "b p p"]:
    """A matrix root of the covariance; rows without a filter do not influence it.

    It is the Cholesky root. If filters are zero or linearly dependent, it is the symmetric root,
    which takes thirty times as long.
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
