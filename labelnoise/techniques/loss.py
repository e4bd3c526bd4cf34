"""Losses as techniques: they replace cross-entropy in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from labelnoise.data.batch import Batch
from labelnoise.data.module import NoisyLabelDataModule, data_of
from labelnoise.errors import InputError
from labelnoise.learner.classifier import classifier_of
from labelnoise.losses import ce
from labelnoise.techniques.technique import Technique


class Loss(Technique):
    """Trains on a loss function; losses with a state are subclasses.

    Monitors still measure cross-entropy, so that runs with different losses can be compared.

    Args:
        function: maps logits (n, K) and given labels (n,) to losses (n,); a function of
            :mod:`labelnoise.losses` with its options filled in.
    """

    role = "loss"

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor] = ce) -> None:
        self.function = function

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        module = classifier_of(trainer)
        self.prepare(data_of(trainer))
        module.sample_loss = self.sample_loss

    def prepare(self, data: NoisyLabelDataModule) -> None:
        """Check the options and create the state that depends on the data; once before training."""
        function = getattr(self.function, "func", self.function)
        name = getattr(function, "__name__", type(function).__name__)
        try:
            loss = self.function(torch.zeros(1, data.num_classes), torch.zeros(1).long())
        except InputError as error:  # the function does not know the full name of its options
            raise InputError(f"technique.{name}: {error}") from None
        if loss.shape != (1,):
            raise InputError(
                f"the loss {name} must return one loss for each sample, of shape (n,), got shape "
                f'{tuple(loss.shape)} for n = 1: write reduction="none"'
            )

    def sample_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss of every sample in a batch; replaces the classifier's cross-entropy."""
        return self.function(logits, batch.label)

    def trains_on_cross_entropy(self, num_classes: int) -> bool:
        """Whether the function has the values of cross-entropy, for K samples of K classes."""
        if type(self).sample_loss is not Loss.sample_loss:  # a subclass has a loss of its own
            return False
        logits = torch.linspace(-2, 2, num_classes**2).reshape(num_classes, num_classes)
        label = torch.arange(num_classes)
        return torch.allclose(self.function(logits, label), ce(logits, label))

    def report(self) -> dict[str, Any]:
        return {}
