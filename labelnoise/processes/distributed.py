"""A run on several processes: rank, number of processes, and communication.

Every process trains on its part of each batch and has the same network, so monitors and techniques
get the same numbers in all processes. Only the process of rank 0 writes files and logs. All
processes must call a communicating function in the same order. With one process these functions
return their input.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from jaxtyping import Int, Shaped
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

# Set by labelnoise.training.launcher in the processes that it starts.
RANK, WORLD_SIZE = "LABELNOISE_RANK", "LABELNOISE_WORLD_SIZE"


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _connected() else int(os.environ.get(RANK, 0))


def world_size() -> int:
    """The number of processes that train this run."""
    return dist.get_world_size() if _connected() else int(os.environ.get(WORLD_SIZE, 1))


def is_rank_zero() -> bool:
    """Whether this is the process that writes files, prints and logs."""
    return rank() == 0


def leave_together() -> None:
    """Wait for all processes, and end their connection."""
    if _connected():
        dist.barrier()
        dist.destroy_process_group()


def share_of(n: int, rank: int, world_size: int) -> slice:
    """The contiguous part of n items for a rank; the sizes differ by at most one.

    The first ranks have the larger parts, so rank 0 has an item if any rank has one.

    Example:
        >>> [list(range(5))[share_of(5, rank, 3)] for rank in range(3)]
        [[0, 1], [2, 3], [4]]
    """
    size, longer = divmod(n, world_size)
    start = rank * size + min(rank, longer)
    return slice(start, start + size + (rank < longer))


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a tensor over all ranks, equal bit for bit on all ranks; without gradient."""
    if world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def maximum_over_ranks(value: Tensor) -> Tensor:
    """The elementwise maximum over all ranks, equal bit for bit on all ranks."""
    if world_size() == 1:
        return value
    largest = value.detach().clone()
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return largest


def from_rank_zero(value: Tensor) -> Tensor:
    """The tensor of rank 0 on every rank; ``value`` has the type, shape and device.

    All ranks then decide by the same numbers, also if devices round differently.
    """
    if world_size() == 1:
        return value
    # On the device of the backend: nccl supports only GPUs.
    sent = value.detach().to(_device(), copy=True).contiguous()
    dist.broadcast(sent, src=0)
    return sent.to(value.device)


def agreed(*values: float) -> tuple[float, ...]:
    """The numbers of rank 0 on every rank; see :func:`from_rank_zero`.

    Example:
        >>> agreed(0.1, 2.0)
        (0.1, 2.0)
    """
    return tuple(from_rank_zero(torch.tensor(values, dtype=torch.float64)).tolist())


def gather_samples(
    index: Int[Tensor, " b"], values: Shaped[Tensor, "b ..."]
) -> tuple[Int[Tensor, " n"], Shaped[Tensor, "n ..."]]:
    """The values of all samples in the global batch on every rank, by ascending index.

    Args:
        index: the indices of this rank's samples, ``batch.index``; their number may differ between
            ranks and may be 0.
        values: one row for each sample, with the same type and row shape on every rank.

    Returns:
        The distinct indices in ascending order, and the values in this order.

    Example:
        >>> gather_samples(torch.tensor([7, 2]), torch.tensor([0.7, 0.2]))
        (tensor([2, 7]), tensor([0.2000, 0.7000]))
    """
    index, values = _all_rows(index), _all_rows(values.detach())
    index, order = index.sort(stable=True)
    first = torch.ones_like(index, dtype=torch.bool)
    first[1:] = index[1:] != index[:-1]
    return index[first], values[order[first]]


def gather_rows(row: Tensor) -> Shaped[Tensor, "world ..."]:
    """The tensors of all ranks, which must have one shape, stacked in the order of the ranks."""
    return _all_rows(row[None])


def _all_rows(rows: Tensor) -> Tensor:
    """The concatenated rows of all ranks; only the number of rows may differ between ranks."""
    if world_size() == 1:
        return rows
    device = _device()
    counts = [torch.zeros(1, dtype=torch.long, device=device) for _ in range(world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=device))
    most = max(int(count) for count in counts)
    padded = rows.new_zeros((most, *rows.shape[1:]), device=device)
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    kept = [part[: int(count)] for part, count in zip(parts, counts, strict=True)]
    return torch.cat(kept).to(rows.device)


def _device() -> torch.device:
    """The device of the backend."""
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def _connected() -> bool:
    return dist.is_available() and dist.is_initialized()


class EqualBuffers(pl.Callback):
    """Copies the buffers of rank 0 (running statistics of batch norm) to all ranks after a batch.

    Otherwise the ranks would evaluate different networks, because each rank updates the statistics
    with its own part of the batch. It is the first callback, so that later ones see one network.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # DDP would copy them only at the start of the next batch, after the monitors.
        ignore = [name for name, _ in pl_module.named_buffers()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(pl_module, ignore)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        for buffer in changing_buffers(pl_module).values():
            buffer.copy_(from_rank_zero(buffer))


def changing_buffers(module: torch.nn.Module) -> Mapping[str, Tensor]:
    """The buffers that training changes; checkpoints store exactly these."""
    kept = module.state_dict(keep_vars=True)
    return {name: buffer for name, buffer in module.named_buffers() if name in kept}
