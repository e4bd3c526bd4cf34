"""Mixup: train on weighted means of two inputs and of the losses with their two labels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Batch
from labelnoise.data.loaders import batches_so_far
from labelnoise.learner.classifier import classifier_of
from labelnoise.processes.distributed import rank
from labelnoise.seeding import derive_seed, stream
from labelnoise.techniques.technique import Technique


def mix(
    input: Float[Tensor, "n ..."], partner: Int[Tensor, " n"], share: float
) -> Float[Tensor, "n ..."]:
    """lambda x_i + (1 - lambda) x_j; j is the partner of i (Zhang et al., ICLR 2018).

    Example:
        >>> mix(torch.tensor([[0.0], [1.0]]), torch.tensor([1, 0]), share=0.75)
        tensor([[0.2500],
                [0.7500]])
    """
    return share * input + (1 - share) * input[partner]


def partners(batch: Batch, partner: Shaped[Tensor, " n"]) -> Batch:
    """The batch with the labels and indices of the partners; the input stays."""
    clean = batch.clean_label_if_known
    return Batch(
        batch.input,
        batch.label[partner],
        None if clean is None else clean[partner],
        batch.index[partner],
    )


def draw_share(alpha: float, seed: int, t: int) -> float:
    """lambda ~ Beta(alpha, alpha) of batch number t.

    Example:
        >>> 0 <= draw_share(1.0, seed=0, t=3) <= 1
        True
    """
    # numpy, because torch cannot draw a beta variable from a given generator.
    return float(np.random.default_rng(derive_seed(seed, "mixup", "share", t)).beta(alpha, alpha))


class Mixup(Technique):
    """Mixes each sample with another sample of its batch, and the two losses with the same weights.

    The input is lambda x_i + (1 - lambda) x_j and the loss is
    lambda l(f, y_i) + (1 - lambda) l(f, y_j). Each batch draws one lambda ~ Beta(alpha, alpha) and
    one permutation i -> j. l is cross-entropy or the loss of another technique of the run. The
    draws depend only on the seed, the number of the batch and the process. Each process mixes only
    its own part of a batch, so the result depends on the number of processes.
    Source: Zhang et al., ICLR 2018 (arXiv 1710.09412).

    Args:
        alpha: above 0; near 0 almost no mixing, at 1 lambda is uniform.
        seed: seed of the draws.

    Raises:
        InputError: alpha is not above 0.
    """

    role = "batch"
    refuses: ClassVar = {
        "networks": "trains two networks, and the networks choose unmixed samples",
        "selection": "chooses samples, and mixing would use the left-out samples again",
    }

    def __init__(self, alpha: float = 1.0, seed: int = 0) -> None:
        check_options_of(Mixup, "technique.mixup.", alpha=alpha)
        self.alpha = alpha
        self.seed = seed
        self.share = 1.0
        self.partner = torch.zeros(0, dtype=torch.long)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            module = classifier_of(trainer)
            module.prepare_batch = self.prepare_batch

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = classifier_of(trainer)
        # After all setup() calls, because a loss technique may come before or after this one.
        plain = module.sample_loss

        def sample_loss(logits: Tensor, batch: Batch) -> Tensor:
            own, other = plain(logits, batch), plain(logits, partners(batch, self.partner))
            return self.share * own + (1 - self.share) * other

        module.sample_loss = sample_loss

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        t = batches_so_far(trainer)
        self.share = draw_share(self.alpha, self.seed, t)
        order = stream(self.seed, "mixup", "partner", t, rank())
        partner = torch.randperm(len(batch.index), generator=order)
        self.partner = partner.to(batch.index.device)

    def prepare_batch(self, batch: Batch) -> Batch:
        """The batch with mixed input and unchanged labels."""
        return batch._replace(input=mix(batch.input, self.partner, self.share))

    def report(self) -> dict[str, Any]:
        return {}
