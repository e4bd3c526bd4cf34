"""The inner products of mu, xi_i and w(0). Gradient descent depends only on these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.seeding import stream
from labelnoise.theory.simulation.setting import Setting


class Products(NamedTuple):
    """Inner products and labels of b runs.

    If a run has fewer filters than another one, its remaining rows are 0 and never change.

    Shapes: ``features`` (b, n+1, n+1) <feature, feature>, ``start`` (b, 2m, n+1) <w(0), feature>,
    ``filters`` (b, 2m, 2m) <w(0), w(0)>; ``sign`` and ``given_sign`` (b, n), the true and the given
    y of every sample, -1 or +1.
    """

    features: Tensor
    start: Tensor
    filters: Tensor
    sign: Tensor
    given_sign: Tensor


def products_of(
    signal: Float[Tensor, " d"],
    noise_patches: Float[Tensor, "n d"],
    initial_weight: Float[Tensor, "2 m d"],
    clean_label: Int[Tensor, " n"],
    label: Int[Tensor, " n"],
) -> Products:
    """The inner products of given vectors, for one run (b = 1), in float64."""
    features = torch.cat([noise_patches, signal[None]]).double()
    filters = initial_weight.detach().flatten(0, 1).double()
    return Products(
        (features @ features.T)[None],
        (filters @ features.T)[None],
        (filters @ filters.T)[None],
        (2.0 * clean_label.double() - 1)[None],
        (2.0 * label.double() - 1)[None],
    )


def draw_products(settings: Sequence[Setting], seeds: Sequence[int]) -> Products:
    r"""Draw the inner products of runs, with exactly the distribution for drawn vectors.

    In an orthonormal basis that begins with mu/|mu|, the component of every Gaussian vector along
    mu is a normal number g_a. The remaining components of xi_1, ..., xi_n, w(0)_1, ..., w(0)_{2m}
    are N = n + 2m independent standard Gaussian vectors in d - 1 dimensions, times sigma_xi or
    sigma_0. Their Gram matrix has the distribution of T T^T (Bartlett). T is lower triangular with
    independent entries

    .. math:: T_{ab} \sim N(0, 1) \; (b < a), \qquad T_{aa} \sim \chi_{d - a}, \; a = 1, \ldots, N.

    If d < 1 + N, the vectors span at most d - 1 dimensions, and only the first d - 1 columns of T
    are used. No vector of length d is stored, so a run costs the same at every d. The draws of a
    run depend only on its seed, not on the other runs. Runs of one seed share their normal numbers.

    Args:
        settings: the setting of each run; all have the same n.
        seeds: the seed of each run.

    Raises:
        InputError: runs of different n.
    """
    n = _common_n(settings)
    most, b = max(setting.m for setting in settings), len(settings)
    whole = Products(
        torch.empty(b, n + 1, n + 1, dtype=torch.float64),
        torch.zeros(b, 2 * most, n + 1, dtype=torch.float64),
        torch.zeros(b, 2 * most, 2 * most, dtype=torch.float64),
        torch.empty(b, n, dtype=torch.float64),
        torch.empty(b, n, dtype=torch.float64),
    )
    for m in {setting.m for setting in settings}:
        runs = [i for i, setting in enumerate(settings) if setting.m == m]
        part = _draw_alike([settings[i] for i in runs], [seeds[i] for i in runs])
        index, rows = torch.tensor(runs), filter_rows(m, most)
        whole.features[index] = part.features
        whole.start[index[:, None], rows] = part.start
        whole.filters[index[:, None, None], rows[:, None], rows] = part.filters
        whole.sign[index], whole.given_sign[index] = part.sign, part.given_sign
    return whole


def filter_rows(m: int, most: int) -> Int[Tensor, " rows"]:
    """The rows of the 2m filters of a run among 2 x ``most`` rows: first in the half of each class.

    Example:
        >>> filter_rows(2, 3).tolist()
        [0, 1, 3, 4]
    """
    return torch.cat([torch.arange(m), most + torch.arange(m)])


def _draw_alike(settings: Sequence[Setting], seeds: Sequence[int]) -> Products:
    """The products of runs with one n and one m."""
    n, rows = settings[0].n, 2 * settings[0].m
    factor, along, uniform = _draw_factors(settings, seeds, n + rows)
    columns = _columns(settings)
    scale = torch.cat([columns["xi_std"].expand(-1, n), columns["sigma_0"].expand(-1, rows)], dim=1)
    along[:, :n] *= 1 - columns["orthogonal"]
    factor *= scale[:, :, None]
    along *= scale
    gram = factor @ factor.mT
    del factor
    gram += along[:, :, None] * along[:, None, :]
    norm = columns["signal_norm"]
    with_signal = along * norm
    features = torch.empty(len(settings), n + 1, n + 1, dtype=torch.float64)
    features[:, :n, :n] = gram[:, :n, :n]
    features[:, n, :n] = features[:, :n, n] = with_signal[:, :n]
    features[:, n, n] = norm[:, 0] ** 2
    start = torch.cat([gram[:, n:, :n], with_signal[:, n:, None]], dim=2)
    sign = torch.where(uniform[:, 0] < 0.5, -1.0, 1.0).double()
    rate = torch.where(sign > 0, columns["tau_plus"], columns["tau_minus"])
    given_sign = torch.where(uniform[:, 1] < rate, -sign, sign)
    return Products(features, start, gram[:, n:, n:], sign, given_sign)


def _draw_factors(
    settings: Sequence[Setting], seeds: Sequence[int], size: int
) -> tuple[Float[Tensor, "b s s"], Float[Tensor, "b s"], Float[Tensor, "b 2 n"]]:
    """The Bartlett factor off the signal, the parts along it, and uniform draws for the labels.

    Settings that share a seed share all draws but the chi squares, which depend on d.
    """
    n = settings[0].n
    dimensions: dict[int, set[int]] = {}
    for setting, seed in zip(settings, seeds, strict=True):
        dimensions.setdefault(seed, set()).add(setting.d)
    uniform, along, below = (
        torch.empty(len(dimensions), *shape, dtype=torch.float64)
        for shape in ((2, n), (size,), (size * (size - 1) // 2,))
    )
    order = torch.arange(1, size + 1, dtype=torch.float64)
    half: dict[tuple[int, int], Tensor] = {}
    for i, seed in enumerate(dimensions):
        generator = stream(seed, "products")
        uniform[i].uniform_(generator=generator)
        along[i].normal_(generator=generator)
        below[i].normal_(generator=generator)
        state = generator.get_state()
        for d in dimensions[seed]:
            # A chi-square variable of k degrees of freedom is twice a gamma variable of shape k/2.
            freedom = (d - order).clamp_min(0)
            half[seed, d] = torch._standard_gamma(freedom / 2, generator=generator)
            generator.set_state(state)
    triangle = torch.zeros(len(dimensions), size, size, dtype=torch.float64)
    row, column = torch.tril_indices(size, size, -1)
    triangle[:, row, column] = below
    del row, column, below  # each is as large as one matrix for each run
    place = {seed: i for i, seed in enumerate(dimensions)}
    which = torch.tensor([place[seed] for seed in seeds])
    factor = triangle[which]
    del triangle
    halves = [half[seed, setting.d] for setting, seed in zip(settings, seeds, strict=True)]
    factor.diagonal(dim1=1, dim2=2).copy_((2 * torch.stack(halves)).sqrt())
    spanned = torch.tensor([setting.d - 1 for setting in settings])
    factor *= (torch.arange(size) < spanned[:, None])[:, None]
    return factor, along[which], uniform[which]


def _common_n(settings: Sequence[Setting]) -> int:
    sizes = {setting.n for setting in settings}
    if len(sizes) != 1:
        raise InputError(f"all runs of a batch must have one n, got {sorted(sizes)}")
    return sizes.pop()


def _columns(settings: Sequence[Setting]) -> dict[str, Float[Tensor, "b 1"]]:
    names = ("signal_norm", "xi_std", "sigma_0", "tau_plus", "tau_minus", "orthogonal")
    return {
        name: torch.tensor([[float(getattr(s, name))] for s in settings], dtype=torch.float64)
        for name in names
    }
