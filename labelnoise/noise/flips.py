"""Draw given labels from clean labels, in one step, so that no label is flipped twice."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.noise.checks import check_labels, check_rate

# Standard deviation of the per-sample flip rates around the requested rate, as in the source.
FLIP_RATE_STD = 0.1
# Number of samples projected at once: 512 CIFAR images take 13 MB in float64.
PROJECTION_CHUNK = 512


def flip_symmetric(
    clean_label: Integer[Tensor, " n"], num_classes: int, rate: float, generator: torch.Generator
) -> Int[Tensor, " n"]:
    """Move exactly int(rate * n) of n labels to another class, drawn uniformly.

    The true class is excluded, so ``rate`` is the share of wrong labels.

    Raises:
        InputError: labels out of range, or a rate outside [0, (K-1)/K).

    Source:
        The number int(rate * n) is from the CIFAR-10 experiments of arXiv 2505.18909.

    Example:
        >>> clean = torch.arange(10).repeat(10)
        >>> label = flip_symmetric(clean, 10, 0.2, torch.Generator().manual_seed(0))
        >>> int((label != clean).sum())
        20
    """
    label = check_labels(clean_label, num_classes, "clean_label").clone()
    count = int(check_rate(rate, num_classes) * len(label))
    chosen = torch.randperm(len(label), generator=generator)[:count]
    # A shift by 1..K-1 reaches every other class and never the true one.
    shift = torch.randint(1, num_classes, (count,), generator=generator)
    label[chosen] = (label[chosen] + shift) % num_classes
    return label.to(clean_label.device)


def flip_labels(
    clean_label: Integer[Tensor, " n"], T: Float[Tensor, "K K"], generator: torch.Generator
) -> Int[Tensor, " n"]:
    """Flip an exact number of labels of each class to targets drawn from the class's row of ``T``.

    Of the n_k samples of class k, floor(n_k (1 - T[k, k]) + 1/2) are flipped. The target j != k of
    each is drawn with probability T[k, j] / (1 - T[k, k]).

    Raises:
        InputError: labels out of range, or rows of ``T`` that are not probabilities.

    Example:
        >>> clean = torch.tensor([0, 0, 0, 0, 1, 1])
        >>> T = torch.tensor([[0.5, 0.5], [0.0, 1.0]], dtype=torch.float64)
        >>> label = flip_labels(clean, T, torch.Generator().manual_seed(0))
        >>> label[:4].sum(), label[4:]
        (tensor(2), tensor([1, 1]))
    """
    matrix = _check_matrix(T)
    num_classes = len(matrix)
    clean = check_labels(clean_label, num_classes, "clean_label")
    label = clean.clone()
    samples = torch.bincount(clean, minlength=num_classes).tolist()
    for k, members in enumerate(clean.argsort(stable=True).split(samples)):
        # 1e-9 compensates the rounding of 1 - T[k, k], so that 1/2 is always rounded up.
        count = math.floor(len(members) * (1 - matrix[k, k].item()) + 0.5 + 1e-9)
        if count == 0:
            continue
        chosen = members[torch.randperm(len(members), generator=generator)[:count]]
        others = torch.cat([matrix[k, :k], matrix[k, k + 1 :]])
        target = torch.multinomial(others, count, replacement=True, generator=generator)
        label[chosen] = target + (target >= k)
    return label.to(clean_label.device)


def permute_within_classes(
    clean_label: Integer[Tensor, " n"],
    label: Integer[Tensor, " n"],
    num_classes: int,
    generator: torch.Generator,
) -> Int[Tensor, " n"]:
    """Permute the given labels of the samples of each true class at random.

    In each true class exactly as many samples have label j as in ``label``, so the transition
    matrix does not change. All assignments are equally likely.

    Raises:
        InputError: labels out of range.

    Example:
        >>> clean, label = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([1, 0, 0, 0, 1, 1])
        >>> twin = permute_within_classes(clean, label, 2, torch.Generator().manual_seed(0))
        >>> twin[:4].sum(), twin[4:]
        (tensor(1), tensor([1, 1]))
    """
    clean = check_labels(clean_label, num_classes, "clean_label")
    given = check_labels(label, num_classes)
    permuted = given.clone()
    samples = torch.bincount(clean, minlength=num_classes).tolist()
    for members in clean.argsort(stable=True).split(samples):
        order = torch.randperm(len(members), generator=generator)
        permuted[members] = given[members[order]]
    return permuted.to(label.device)


def instance_dependent_labels(
    features: Callable[[Tensor], Tensor] | Tensor,
    clean_label: Integer[Tensor, " n"],
    num_classes: int,
    rate: float,
    generator: torch.Generator,
    projection_generator: torch.Generator | None = None,
) -> Int[Tensor, " n"]:
    """Flip each sample with its own rate, to a class that depends on its features.

    Sample i of true class c keeps its label with probability 1 - q_i. Otherwise it gets class
    j != c with probability softmax_j(x_i W_c). q_i ~ N(rate, 0.1^2) is truncated to [0, 1], and the
    F x K projection W_c ~ N(0, 1) belongs to class c. Only the flipped samples are projected, class
    by class, 512 at a time.

    The truncation raises the mean of q_i for small rates: at rate 0.1 a share of 0.129 is flipped.
    At rate 0 no label is flipped.

    Args:
        features: (n, *shape) floating point, or a function from an index (b,) to (b, *shape).
        clean_label: (n,) true classes.
        num_classes: K.
        rate: mean of the q_i before truncation, in [0, (K-1)/K).
        generator: a generator on the CPU.
        projection_generator: for the W_c, so that splits can share them; None is ``generator``.

    With two classes the target is always the other class.

    Raises:
        InputError: labels, rate or features that cannot be used.

    Source:
        X. Xia et al., "Part-dependent Label Noise", NeurIPS 2020 (arXiv 2006.07836): how the noise
        of the experiments is generated.

    Example:
        >>> clean = torch.arange(4).repeat(100)
        >>> generator = torch.Generator().manual_seed(0)
        >>> features = torch.randn(400, 6, generator=generator)
        >>> label = instance_dependent_labels(features, clean, 4, 0.3, generator)
        >>> 0.2 < (label != clean).double().mean().item() < 0.4
        True
    """
    clean = check_labels(clean_label, num_classes, "clean_label")
    label = clean.clone()
    if check_rate(rate, num_classes) == 0:
        return label.to(clean_label.device)
    if isinstance(features, Tensor) and len(features) != len(clean):
        raise InputError(f"{len(features)} samples of features for {len(clean)} labels")

    # All uniforms are drawn first, so that the labels do not depend on the chunk size.
    flip_rate = _truncated_normal(rate, FLIP_RATE_STD, len(clean), generator)
    uniform = torch.rand(2, len(clean), dtype=torch.float64, generator=generator)
    flipped = uniform[0] < flip_rate
    width = _flat_features(features, torch.arange(min(1, len(clean)))).shape[1]
    for c in range(num_classes):
        projection = torch.randn(
            width, num_classes, dtype=torch.float64, generator=projection_generator or generator
        )
        for index in (flipped & (clean == c)).nonzero().flatten().split(PROJECTION_CHUNK):
            logits = _flat_features(features, index) @ projection
            others = torch.cat([logits[:, :c], logits[:, c + 1 :]], dim=1)
            # The last value is 1 up to rounding; without it, a draw cannot exceed the last class.
            cumulative = others.softmax(dim=1).cumsum(dim=1)[:, :-1].contiguous()
            target = torch.searchsorted(cumulative, uniform[1, index, None], right=True).flatten()
            label[index] = target + (target >= c)
    return label.to(clean_label.device)


def _truncated_normal(
    mean: float, std: float, count: int, generator: torch.Generator
) -> Float[Tensor, " count"]:
    """Draws from N(mean, std^2) truncated to [0, 1], by the inverse distribution function."""
    ends = torch.tensor([-mean / std, (1 - mean) / std], dtype=torch.float64)
    low, high = torch.special.ndtr(ends).tolist()
    uniform = torch.rand(count, dtype=torch.float64, generator=generator)
    drawn: Tensor = mean + std * torch.special.ndtri(low + (high - low) * uniform)
    return drawn.clamp(0, 1)


def _flat_features(
    features: Callable[[Tensor], Tensor] | Tensor, index: Integer[Tensor, " b"]
) -> Float[Tensor, "b F"]:
    """The samples at ``index`` as float64 rows, because float32 sums differ between machines."""
    if isinstance(features, Tensor):
        x = features[index.to(features.device)]
    else:
        x = features(index)
    if not x.is_floating_point():
        raise InputError(
            f"features are {x.dtype}; give floating point, or a function from an index to it"
        )
    if len(x) != len(index):
        raise InputError(f"features gave {len(x)} samples for an index of {len(index)}")
    if not x.isfinite().all():
        raise InputError(
            "features have NaN or infinite values; instance-dependent noise needs finite values"
        )
    return x.flatten(start_dim=1).to("cpu", torch.float64)


def _check_matrix(T: Tensor) -> Float[Tensor, "K K"]:
    """``T`` as float64 on the CPU with normalized rows."""
    if T.ndim != 2 or T.shape[0] != T.shape[1]:
        raise InputError(f"transition matrix has shape {tuple(T.shape)}; give (K, K)")
    matrix = T.to("cpu", torch.float64)
    rows = matrix.sum(dim=1)
    # This form also refuses NaN.
    if not ((matrix >= 0).all() and ((rows - 1).abs() < 1e-6).all()):
        raise InputError(
            "transition matrix has a negative entry or a row that does not sum to 1; "
            "T[i, j] is P(noisy = j | clean = i)"
        )
    return matrix / rows[:, None]
