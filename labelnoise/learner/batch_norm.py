"""Check whether a network can train on the smallest batch of a run."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from labelnoise.data.batch import Split
from labelnoise.data.loaders import TensorLoader
from labelnoise.errors import InputError
from labelnoise.learner.classifier import evaluating
from labelnoise.processes.distributed import share_of


def smallest_batch(loader: TensorLoader, batches: int) -> int:
    """The smallest positive number of samples for a process in the first ``batches`` batches.

    Example:
        >>> label = torch.arange(9)
        >>> loader = TensorLoader(Split(label.view(9, 1), label, label, label), 4)
        >>> smallest_batch(loader, 3), smallest_batch(loader, 2)
        (1, 4)
    """
    n, size = len(loader.split), loader.batch_size
    sizes = {min(size, n)}
    if n % size and batches >= loader.batches_per_pass:
        sizes.add(n % size)
    ranks = range(loader.world_size)
    shares = [share_of(each, rank, loader.world_size) for each in sizes for rank in ranks]
    return min(share.stop - share.start for share in shares if share.stop > share.start)


def check_single_samples(networks: Iterable[nn.Module], split: Split, advice: str) -> None:
    """Refuse a network with a batch norm that gets one value for each channel from one sample.

    Args:
        networks: the networks to train.
        split: the training split.
        advice: names the batch with one sample and the remedy, for the message.

    Raises:
        InputError: names the layer.
    """
    for network in networks:
        name = _norm_of_one_value(network, split.batch(slice(1)).input)
        if name is not None:
            raise InputError(f"batch norm ({name}) needs two samples, and {advice}")


@torch.no_grad()
def _norm_of_one_value(network: nn.Module, sample: Tensor) -> str | None:
    """The first batch norm that gets one value for each channel from one sample, or None."""
    found: list[str] = []
    handles = [
        layer.register_forward_pre_hook(
            lambda _, inputs, name=name: found.extend([name] * (inputs[0][0, 0].numel() == 1))
        )
        for name, layer in network.named_modules()
        if isinstance(layer, _BatchNorm)
    ]
    try:
        if handles:
            with evaluating(network):
                network.forward(sample)  # not network(sample), which would compile for one sample
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None
