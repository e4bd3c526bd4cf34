"""What flows from data to model: a batch of samples, and the split it is taken from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Samples as training sees them, with what only the laboratory knows beside them.

    Shapes: ``input`` (b, *shape) float; ``label``, ``clean_label``, ``index`` (b,) int64.
    ``label`` is the given label, ``clean_label`` the true one, ``index`` the place in the split.
    """

    input: Tensor
    label: Tensor
    clean_label: Tensor
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


@dataclass(frozen=True)
class Split:
    """All samples of one split as whole tensors in memory.

    Attributes:
        input: (n, *shape), floating point, or uint8 images that ``normalize`` turns into floats.
        label: (n,) int64, the given labels, partly wrong.
        clean_label: (n,) int64, the true labels.
        source_index: (n,) int64, the place of each sample in the published data set or file list.
        normalize: applied to every batch on its way out; None where ``input`` is ready as it is.
    """

    input: Tensor
    label: Tensor
    clean_label: Tensor
    source_index: Tensor
    normalize: Callable[[Tensor], Tensor] | None = None
    index: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", torch.arange(len(self.label), device=self.label.device))

    def __len__(self) -> int:
        return len(self.label)

    @property
    def is_noisy(self) -> Tensor:
        """(n,) bool: the given label is not the true one."""
        return self.label != self.clean_label

    def batch(self, index: Tensor | slice = slice(None)) -> Batch:
        """The samples at ``index``, normalised; a slice is served without a copy."""
        return Batch(
            self._ready(self.input[index]),
            self.label[index],
            self.clean_label[index],
            self.index[index],
        )

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """The whole split in order, ``batch_size`` samples at a time."""
        for start in range(0, len(self), batch_size):
            yield self.batch(slice(start, start + batch_size))

    def subset(self, index: Tensor) -> Split:
        """The split of the samples at ``index``, in that order."""
        return Split(
            self.input[index],
            self.label[index],
            self.clean_label[index],
            self.source_index[index],
            self.normalize,
        )

    def to(self, device: torch.device) -> Split:
        """The same samples on ``device``; the split itself where they lie there already."""
        if self.input.device == device and self.label.device == device:
            return self
        return Split(
            self.input.to(device),
            self.label.to(device),
            self.clean_label.to(device),
            self.source_index.to(device),
            self.normalize,
        )

    @property
    def nbytes(self) -> int:
        """The memory that its tensors take."""
        tensors = (self.input, self.label, self.clean_label, self.source_index, self.index)
        return sum(tensor.nbytes for tensor in tensors)

    def _ready(self, input: Tensor) -> Tensor:
        return input if self.normalize is None else self.normalize(input)
