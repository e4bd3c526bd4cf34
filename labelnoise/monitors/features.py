"""Sparsity of the learned features."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from labelnoise.data.batch import Split
from labelnoise.data.module import data_of
from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier, evaluating
from labelnoise.measures.gradients import ready_for
from labelnoise.models.two_layer_cnn import TwoLayerCNN
from labelnoise.monitors.monitor import Monitor, probe_of


@torch.no_grad()
def active_units(model: nn.Module, split: Split, batch_size: int) -> Bool[Tensor, "n units"]:
    """Which units of the last hidden ReLU layer are above 0, for every sample.

    The layer is the ``nn.ReLU`` that a forward pass calls last; in the two-layer CNN it is the only
    hidden layer. A unit of a convolution is a channel at one position.

    Raises:
        InputError: the network has no ReLU layer.

    Example:
        >>> model = nn.Sequential(nn.ReLU(), nn.Linear(2, 2))
        >>> label = torch.zeros(1, dtype=torch.long)
        >>> split = Split(torch.tensor([[-1.0, 2.0]]), label, label, label)
        >>> active_units(model, split, batch_size=1).tolist()
        [[False, True]]
    """
    if isinstance(model, TwoLayerCNN):
        batches = split.batches(batch_size)
        return torch.cat([model.hidden(ready_for(model, batch.input)) > 0 for batch in batches])
    last: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        last[:] = [(output > 0).flatten(1)]  # now, because later layers may overwrite the output

    layers = [layer for layer in model.modules() if isinstance(layer, nn.ReLU)]
    if not layers:
        raise InputError(
            f"monitor=features needs a ReLU layer, but {type(model).__name__} has none: leave "
            "it out of monitor="
        )
    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        rows = []
        for batch in split.batches(batch_size):
            model.forward(ready_for(model, batch.input))
            rows.append(last[0])
        return torch.cat(rows)
    finally:
        for handle in handles:
            handle.remove()


def feature_metrics(active: Bool[Tensor, "n units"]) -> dict[str, float]:
    """Sparsity of a layer over n samples.

    Returns, each in [0, 1]:
        active_share: (1 / (n U)) sum_i sum_u 1[unit u is above 0 for sample i]; U units.
        dead_share: share of the units that are above 0 for no sample.

    Example:
        >>> feature_metrics(torch.tensor([[True, False, False], [True, True, False]]))
        {'active_share': 0.5, 'dead_share': 0.3333333333333333}
    """
    return {
        "active_share": active.double().mean().item(),
        "dead_share": (~active.any(0)).double().mean().item(),
    }


class FeatureMonitor(Monitor):
    """Logs ``features/*``: :func:`feature_metrics` of the last hidden ReLU layer.

    Measured on a probe of training samples in evaluation mode. A lower share of active units means
    sparser features.

    Args:
        every_n_steps: the interval; None: one epoch.
        probe_size: number of training samples, drawn by the seed.
        batch_size: number of samples in a batch.
        seed: seed of the draw.

    Raises:
        InputError: a number out of range; when training starts, a network without ReLU layers.
    """

    records = ("features",)

    def __init__(
        self,
        every_n_steps: int | None = None,
        probe_size: int = 500,
        batch_size: int = 250,
        seed: int = 0,
    ) -> None:
        super().__init__(every_n_steps)
        self.check_numbers(probe_size=probe_size, batch_size=batch_size)
        self.probe_size = probe_size
        self.batch_size = batch_size
        self.seed = seed

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.probe = probe_of(data_of(trainer).train, self.probe_size, self.seed)

    def observe(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> dict[str, float]:
        with evaluating(module.model):
            active = active_units(module.model, self.probe, self.batch_size)
        return {f"features/{name}": value for name, value in feature_metrics(active).items()}
