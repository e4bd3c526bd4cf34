"""The loss of a batch, and the step of a process that has no samples in a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from labelnoise.data.batch import Batch
from labelnoise.processes.distributed import mean_over_ranks

SampleLoss = Callable[[Tensor, Batch], Tensor]
PrepareBatch = Callable[[Batch], Batch]


def cross_entropy(logits: Float[Tensor, "n K"], batch: Batch) -> Float[Tensor, " n"]:
    """Per-sample cross-entropy with the given labels, -log softmax(logits)[label]."""
    return F.cross_entropy(logits, batch.label, reduction="none")


def as_it_is(batch: Batch) -> Batch:
    """The batch itself; the default of ``prepare_batch``."""
    return batch


def weighted_mean(value: Float[Tensor, " n"], weight: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """sum_i weight_i value_i / sum_i weight_i, and 0 if all weights are 0.

    The division by the sum of the weights makes the result the mean over the samples that are not
    left out. If several processes hold parts of a batch, the divisor is the mean over the processes
    of the sum of the weights. The means of the losses and of the gradients over the processes are
    then the loss and the gradient of the whole batch.
    """
    total = mean_over_ranks(weight.sum())
    share = weight / total.clamp_min(torch.finfo(weight.dtype).tiny)
    return torch.dot(share, value)  # one node in the graph, for speed


def stand_in(batch: Batch) -> Tensor:
    """Two samples of zeros with the shape and type of the samples of a batch."""
    return batch.input.new_zeros((2, *batch.input.shape[1:]))
