"""Selection by the area under the margin (AUM), compared with the AUM of random labels."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def other_classes(
    label: Int[Tensor, " n"], classes: int, generator: torch.Generator
) -> Int[Tensor, " n"]:
    """For each sample, a class drawn uniformly from the K - 1 classes other than the given one.

    Example:
        >>> other_classes(torch.tensor([0, 1, 1]), 2, torch.Generator()).tolist()
        [1, 0, 0]
    """
    shift = torch.randint(1, classes, (len(label),), generator=generator)
    return (label.cpu() + shift) % classes


def aum_threshold(other_aum: Float[Tensor, " n"], percentile: float) -> float:
    """The percentile, in (0, 100], of the AUM of labels drawn at random, linearly interpolated.

    Margins that are not finite do not count. If no margin is finite, the result is infinity.

    Example:
        >>> aum_threshold(torch.tensor([-4.0, -3.0, -2.0, -1.0, 0.0]), 75)
        -1.0
    """
    # numpy, because torch.quantile refuses more than 16 million numbers.
    finite = other_aum[other_aum.isfinite()].cpu().numpy()
    return float(np.percentile(finite, percentile)) if len(finite) else float("inf")


def select_aum(
    aum: Float[Tensor, " n"], other_aum: Float[Tensor, " n"], percentile: float
) -> Bool[Tensor, " n"]:
    """Keep the samples with a larger AUM than nearly all labels drawn at random.

        AUM_i = mean over epochs of z_label - max_{k != label} z_k
        kept_i = AUM_i > percentile over all samples of the AUM with a label drawn at random

    Source: AUM (arXiv 2001.10528). The paper trains a share of the samples on an extra class. Their
    labels are wrong, and the threshold is a percentile of their AUM. Here the network keeps its K
    outputs and no label is changed: the margin of every sample is also measured with a class drawn
    from the other classes (:func:`other_classes`), on which it is *not* trained. This has two
    effects. Labels without training have lower margins than memorized labels, so more wrong labels
    pass. For about noise rate / (K - 1) of the samples the drawn class is the true class, which
    raises the threshold if K is small. With two classes and the default ``percentile``, few samples
    are kept, and nearly all of them are clean.

    Args:
        aum: AUM of the given labels.
        other_aum: AUM of the drawn labels.
        percentile: in (0, 100].

    Example:
        >>> aum, other_aum = torch.tensor([3.0, -1.0, 2.0]), torch.tensor([-4.0, 0.5, -3.0])
        >>> select_aum(aum, other_aum, 99).tolist()
        [True, False, True]
    """
    return aum > aum_threshold(other_aum, percentile)
