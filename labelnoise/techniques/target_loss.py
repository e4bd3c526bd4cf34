"""The base class of losses that keep a target for each training sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelnoise.data.batch import Batch
from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.processes.distributed import gather_samples
from labelnoise.techniques.loss import Loss


class TargetLoss(Loss):
    """Keeps a row of K numbers for each training sample and updates it when a batch has the sample.

    All processes hold the same rows, because the rows of all processes are gathered after a batch.

    Attributes:
        target: (n_train, K), at least single precision; in checkpoints.
    """

    refuses: ClassVar = {
        "batch": "mixes samples that have their own targets",
        "networks": "trains two networks, but a sample has one target",
    }

    target: Tensor
    state: ClassVar[tuple[str, ...]] = ("target",)

    def first_targets(
        self, label: Int[Tensor, " n"], num_classes: int
    ) -> Float[Tensor, "n K"] | Int[Tensor, "n K"]:
        """The rows before training."""
        raise NotImplementedError

    def next_targets(
        self, target: Float[Tensor, "n K"], logits: Float[Tensor, "n K"]
    ) -> Float[Tensor, "n K"]:
        """The updated rows of samples with these logits."""
        raise NotImplementedError

    def prepare(self, data: NoisyLabelDataModule) -> None:
        # Never half precision: a slow average would not change.
        dtype = torch.promote_types(data.train.batch(slice(1)).input.dtype, torch.float32)
        self.target = self.first_targets(data.train.label, data.num_classes).to(dtype)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.target = self.target.to(pl_module.device)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        assert isinstance(outputs, Mapping)
        # Not in `sample_loss`, because a process without samples in a batch does not call it.
        index, logits = gather_samples(batch.index, outputs["logits"])
        self.target[index] = self.next_targets(self.target[index], logits).to(self.target)
