"""One row of measurements, put together batch by batch from the training pass itself."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelnoise.distributed import maximum_over_ranks
from labelnoise.dynamics.measurements import Measurements, measure


class EpochRecorder:
    """Collects :class:`Measurements` of all training samples from the batches that they come in.

    Every sample is measured by the logits of the step that trained on it, before that step, with
    augmentation and dropout where they are on. Several processes add their own shares of the
    batches; what all of them added is put together in :meth:`finish` and in :attr:`row`, which
    all processes have to ask for at the same batch.

    Attributes:
        unseen: how many samples were missing when :meth:`finish` was last called.

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
        """Once training starts: expect n samples, and go on with a row that was loaded."""
        self.n = n
        self._row = None if self._row is None else self._row.to(device)

    def add(
        self, index: Int[Tensor, " b"], logits: Float[Tensor, "b K"], label: Int[Tensor, " b"]
    ) -> None:
        """Measure the samples at ``index``, by their logits and the labels given here."""
        # Columns of one tensor on the network's device: nothing waits for it before the end of
        # the epoch. Places not filled yet hold -inf, so that processes can take the maximum.
        if self._row is None:
            self._row = torch.full((4, self.n), -torch.inf, device=label.device)
        columns = [torch.as_tensor(v, dtype=torch.float32) for v in measure(logits, label)]
        self._row[:, index] = torch.stack(columns)

    def finish(self) -> Measurements | None:
        """The row of all processes, and begin the next one; None where samples are missing."""
        row, self._row = self.row, None
        self.unseen = self.n if row is None else int((row[3] < 0).sum())
        return None if row is None or self.unseen else Measurements(*row)

    @property
    def row(self) -> Tensor | None:
        """(4, n), what all processes added so far: the largest, where the others have -inf."""
        return None if self._row is None else maximum_over_ranks(self._row)

    @row.setter
    def row(self, row: Tensor | None) -> None:
        self._row = row
