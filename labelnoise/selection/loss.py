"""Rules that read the losses at the time of the selection: what is small is taken for clean."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor


def select_log2(loss: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Keep the samples with loss below log 2, that is with p(given label) above one half.

    With two classes these are the samples predicted as their given label. At the end of Stage I
    the threshold separates clean from noisy exactly (arXiv 2505.18909, sample selection).

    Example:
        >>> select_log2(torch.tensor([0.1, 0.6, 0.7, 3.0])).tolist()
        [True, True, False, False]
    """
    return loss < math.log(2.0)


def select_keep_rate(loss: Float[Tensor, " n"], keep_rate: float) -> Bool[Tensor, " n"]:
    """Keep the round(keep_rate n) samples of smallest loss, where the noise rate is known.

    Source: the small-loss rule of Co-teaching (NeurIPS 2018) with R = 1 - noise rate.

    Example:
        >>> select_keep_rate(torch.tensor([0.3, 0.1, 2.0, 0.2]), 0.75).tolist()
        [True, True, False, True]
    """
    kept = loss.argsort(stable=True)[: round(keep_rate * len(loss))]
    return torch.zeros_like(loss, dtype=torch.bool).index_fill(0, kept, True)


def select_gmm(loss: Float[Tensor, " n"], seed: int) -> Bool[Tensor, " n"]:
    """Keep the samples that a two-component mixture assigns to the component of lower mean.

    Losses are scaled to [0, 1] and fitted with a Gaussian mixture; a sample is kept when its
    posterior of the low component exceeds one half. No noise rate is needed.
    Source: the division step of DivideMix (ICLR 2020).
    """
    from sklearn.mixture import GaussianMixture  # a second to import; only this rule pays it

    span = (loss.max() - loss.min()).clamp_min(torch.finfo(loss.dtype).tiny)
    scaled = ((loss - loss.min()) / span).double().cpu().numpy().reshape(-1, 1)
    mixture = GaussianMixture(2, reg_covar=5e-4, random_state=seed).fit(scaled)
    low = int(np.argmin(mixture.means_.ravel()))
    return torch.from_numpy(mixture.predict_proba(scaled)[:, low] > 0.5).to(loss.device)
