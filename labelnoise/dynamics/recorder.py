"""Record a row of measurements batch by batch in the training pass."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelnoise.dynamics.measurements import Measurements, measure
from labelnoise.processes.distributed import maximum_over_ranks


class EpochRecorder:
    """Collects :class:`Measurements` of all training samples from the training batches.

    A sample is measured by its logits at its training step, before the update, with augmentation
    and dropout. Each process adds its own part of a batch. :meth:`finish` and :attr:`row` gather
    the parts, so all processes have to call them at the same batch.

    Attributes:
        unseen: number of missing samples at the last call of :meth:`finish`.

    Example:
        >>> recorder = EpochRecorder()
        >>> recorder.begin(3, torch.device("cpu"))
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, 4.0]])
        >>> label = torch.tensor([0, 0, 0])
        >>> recorder.add(torch.tensor([2, 0]), logits[[2, 0]], label[[2, 0]])
        >>> recorder.finish() is None, recorder.unseen
        (True, 1)
        >>> recorder.add(torch.arange(3), logits, label)
        >>> recorder.finish().margin.tolist()
        [2.0, -1.0, -4.0]
    """

    def __init__(self) -> None:
        self.n = 0
        self.unseen = 0
        self._row: Tensor | None = None

    def begin(self, n: int, device: torch.device) -> None:
        """At the start of training: expect n samples, and continue with a loaded row."""
        self.n = n
        self._row = None if self._row is None else self._row.to(device)

    def add(
        self, index: Int[Tensor, " b"], logits: Float[Tensor, "b K"], label: Int[Tensor, " b"]
    ) -> None:
        """Measure the samples at ``index`` by their logits and labels."""
        # One tensor on the device of the network, so that the GPU is not synchronized before the
        # end of the epoch. Missing entries are -inf, so that the maximum over processes is the row.
        if self._row is None:
            self._row = torch.full((4, self.n), -torch.inf, device=label.device)
        columns = [torch.as_tensor(v, dtype=torch.float32) for v in measure(logits, label)]
        self._row[:, index] = torch.stack(columns)

    def finish(self) -> Measurements | None:
        """Return the row of all processes and start the next one; None if samples are missing."""
        row, self._row = self.row, None
        self.unseen = self.n if row is None else int((row[3] < 0).sum())
        return None if row is None or self.unseen else Measurements(*row)

    @property
    def row(self) -> Tensor | None:
        """(4, n) entries of all processes so far; -inf if missing."""
        return None if self._row is None else maximum_over_ranks(self._row)

    @row.setter
    def row(self, row: Tensor | None) -> None:
        self._row = row
