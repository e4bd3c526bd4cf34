"""The area under the margin, against that of labels which are wrong."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def other_classes(
    label: Int[Tensor, " n"], classes: int, generator: torch.Generator
) -> Int[Tensor, " n"]:
    """For each sample a class drawn uniformly from the K - 1 that it was not given.

    Example:
        >>> other_classes(torch.tensor([0, 1, 1]), 2, torch.Generator()).tolist()
        [1, 0, 0]
    """
    shift = torch.randint(1, classes, (len(label),), generator=generator)
    return (label.cpu() + shift) % classes


def aum_threshold(other_aum: Float[Tensor, " n"], percentile: float) -> float:
    """The percentile, in (0, 100], of the AUM of labels drawn at random, linearly interpolated.

    Margins that are not finite do not count; infinity where none is finite.

    Example:
        >>> aum_threshold(torch.tensor([-4.0, -3.0, -2.0, -1.0, 0.0]), 75)
        -1.0
    """
    # numpy's: torch's quantile refuses more than 16 million numbers.
    finite = other_aum[other_aum.isfinite()].cpu().numpy()
    return float(np.percentile(finite, percentile)) if len(finite) else float("inf")


def select_aum(
    aum: Float[Tensor, " n"], other_aum: Float[Tensor, " n"], percentile: float
) -> Bool[Tensor, " n"]:
    """Keep the samples whose AUM lies above that of nearly all labels drawn at random.

        AUM_i = mean over epochs of z_label - max_{k != label} z_k
        kept = AUM_i > percentile of the AUM that the same samples have with another class's label

    Source: AUM (arXiv 2001.10528), which gives a share of the samples an extra class and trains on
    it, so that their AUM is that of labels known to be wrong; a percentile of it is the threshold.
    Here the network keeps its K outputs and no label is changed: every sample is also measured
    with a class drawn from the others (:func:`other_classes`), on which it is *not* trained. That
    differs in two ways. Labels that nothing is trained on have lower margins than memorized ones,
    which lets more wrong labels pass; and for about noise rate / (K - 1) of the samples the class
    drawn is the true one, which raises the threshold where K is small. With two classes the high
    percentiles are those of clean samples: few samples are kept, nearly all of them clean, unless
    ``percentile`` is lowered.

    Args:
        aum: with the given label.
        other_aum: with the class drawn.
        percentile: in (0, 100].

    Example:
        >>> aum, other_aum = torch.tensor([3.0, -1.0, 2.0]), torch.tensor([-4.0, 0.5, -3.0])
        >>> select_aum(aum, other_aum, 99).tolist()
        [True, False, True]
    """
    return aum > aum_threshold(other_aum, percentile)
