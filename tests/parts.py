"""Parts that only tests put into a configuration, by ``+technique.x._target_=tests.parts.X``."""

from __future__ import annotations

import math
import os
from typing import Any, ClassVar

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F

from labelnoise.config.composition import compose
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.models import TwoLayerCNN
from labelnoise.processes.distributed import gather_samples, rank
from labelnoise.seeding import stream
from labelnoise.techniques import Technique


def as_dict(node: DictConfig) -> dict[str, Any]:
    """What a node holds, with its references resolved."""
    plain = OmegaConf.to_container(node, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def resolved(*words: str) -> dict[str, Any]:
    """The configuration that a run with these words leaves in its .hydra/config.yaml."""
    return as_dict(compose(words))


class FailAt(Technique):
    """Fails in the process of rank ``LABELNOISE_TEST_RANK`` before step ``LABELNOISE_TEST_STEP``.

    Told by the environment: the configuration is then that of a run which does not fail.
    """

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        told = os.environ.get("LABELNOISE_TEST_STEP"), os.environ.get("LABELNOISE_TEST_RANK")
        if told == (str(trainer.global_step), str(rank())):
            raise RuntimeError("killed")

    def report(self) -> dict[str, Any]:
        return {}


class UnequalWeights(Technique):
    """Weights from 0 to 1, and the losses of every batch put together from all processes."""

    def __init__(self) -> None:
        self.losses: list[list[float]] = []
        self.indices: list[list[int]] = []

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, NoisyLabelClassifier)
        n = len(module.sample_weight)
        module.sample_weight = torch.rand(n, generator=stream(0, "weights")).round(decimals=1)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        assert isinstance(module, NoisyLabelClassifier)
        losses = batch.input.new_zeros(0)
        if len(batch.index):
            with torch.no_grad():
                losses = F.cross_entropy(module(batch.input), batch.label, reduction="none")
        index, losses = gather_samples(batch.index, losses)
        self.indices.append(index.tolist())
        self.losses.append(losses.tolist())

    def report(self) -> dict[str, Any]:
        return {"indices": self.indices, "losses": self.losses}


class DroppedOut(TwoLayerCNN):
    """Draws from torch's global stream, in every process its own."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(super().forward(input), 0.5, training=self.training)


class Normalised(nn.Module):
    """Batch norm, and a reshape that refuses an empty batch."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, seed: int, **_: Any) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(input_shape[0])
        self.layer = nn.Linear(input_shape[0] * input_shape[1], num_classes)
        with torch.no_grad():
            self.layer.weight.normal_(0, 0.01, generator=stream(seed, "init"))
            self.layer.bias.zero_()

    def forward(self, input: Tensor) -> Tensor:
        return self.layer(self.norm(input).view(len(input), -1))


class Foreign(LightningDataModule):
    """A data module of another project."""


class Watch(Technique):
    """Reports how much the loss on the training set differs between the processes at every step."""

    def __init__(self) -> None:
        self.spread: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *args: Any) -> None:
        from labelnoise.data.module import data_of
        from labelnoise.processes.distributed import gather_rows

        assert isinstance(module, NoisyLabelClassifier)
        rows = gather_rows(module.logits(data_of(trainer).train))
        self.spread.append((rows - rows[0]).abs().max().item())

    def report(self) -> dict[str, Any]:
        return {"spread": self.spread}


class NormalisedImages(nn.Sequential):
    """A convolution, batch norm and a linear layer: ``0``, ``1`` and ``4``."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, seed: int, **_: Any) -> None:
        channels, height, width = input_shape
        size = 4 * (height - 2) * (width - 2)
        super().__init__(
            nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
            nn.Linear(size, num_classes),
        )  # fmt: skip
        generator = stream(seed, "init")
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(0, 0.1, generator=generator)
                elif parameter.shape == (num_classes,):
                    parameter.zero_()
            self.get_parameter("0.bias").zero_()


class Normalised1d(nn.Module):
    """Batch norm over the samples alone: each channel has one value a sample."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, seed: int, **_: Any) -> None:
        super().__init__()
        size = math.prod(input_shape)
        self.norm = nn.BatchNorm1d(size)
        self.layer = nn.Linear(size, num_classes)
        with torch.no_grad():
            self.layer.weight.normal_(0, 0.01, generator=stream(seed, "init"))
            self.layer.bias.zero_()

    def forward(self, input: Tensor) -> Tensor:
        return self.layer(self.norm(input.flatten(1)))


class Dropped(nn.Sequential):
    """A convolution, batch norm, dropout and a linear layer, for images of 8 x 8 pixels."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, **_: Any) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(),
            nn.Dropout(), nn.Linear(4 * 36, num_classes),
        )  # fmt: skip


class Watched(nn.Sequential):
    """Two linear layers; ``entered`` keeps the inputs of the last layer in training."""

    entered: ClassVar[list[Tensor]] = []

    def __init__(self, input_shape: tuple[int, ...], num_classes: int, **_: Any) -> None:
        last = nn.Linear(3, num_classes)
        last.register_forward_pre_hook(self._keep)
        super().__init__(nn.Flatten(), nn.Linear(3 * 64, 3), nn.ReLU(), last)

    @classmethod
    def _keep(cls, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if layer.training:
            cls.entered.append(inputs[0].detach())
