"""A split of the samples, and a batch of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from labelnoise.data.mapped import Inputs, rows_of
from labelnoise.noise.truth import known


class Batch(NamedTuple):
    """A batch of samples.

    Shapes: ``input`` (b, *shape) float; ``label``, ``clean_label``, ``index`` (b,) int64.
    ``label`` is the given label, ``clean_label`` the true label, ``index`` the position in the
    split. If the true labels are unknown, ``clean_label_if_known`` is None.
    """

    input: Tensor
    label: Tensor
    clean_label_if_known: Tensor | None
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which is not used

    @property
    def truth_known(self) -> bool:
        """Whether the true labels are known."""
        return self.clean_label_if_known is not None

    @property
    def clean_label(self) -> Tensor:
        """(b,) int64, the true labels; raises UnknownTruth if they are unknown."""
        return known(self.clean_label_if_known)


@dataclass(frozen=True)
class Split:
    """All samples of a split as tensors in memory; images can be in a memory-mapped file.

    Attributes:
        input: (n, *shape), floating point, or uint8 images that ``normalize`` converts to floats.
        label: (n,) int64, the given labels.
        clean_label_if_known: (n,) int64, the true labels; None if they are unknown. ``clean_label``
            and ``is_noisy`` then raise UnknownTruth.
        source_index: (n,) int64, the position of each sample in the published data set or file
            list.
        normalize: applied to every batch; None if ``input`` needs no change.
    """

    input: Inputs
    label: Tensor
    clean_label_if_known: Tensor | None
    source_index: Tensor
    normalize: Callable[[Tensor], Tensor] | None = None
    index: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", torch.arange(len(self.label), device=self.label.device))

    def __len__(self) -> int:
        return len(self.label)

    @property
    def truth_known(self) -> bool:
        """Whether the true labels are known."""
        return self.clean_label_if_known is not None

    @property
    def clean_label(self) -> Tensor:
        """(n,) int64, the true labels; raises UnknownTruth if they are unknown."""
        return known(self.clean_label_if_known)

    @property
    def reference_label(self) -> Tensor:
        """(n,) int64, the true labels if they are known, else the given labels."""
        return self.label if self.clean_label_if_known is None else self.clean_label_if_known

    @property
    def is_noisy(self) -> Tensor:
        """(n,) bool, whether the given label differs from the true label; raises UnknownTruth."""
        return self.label != self.clean_label

    def batch(self, index: Tensor | slice = slice(None)) -> Batch:
        """The samples at ``index``, normalized; a slice makes no copy."""
        return self.served(self._ready(self.input[index]), index)

    def served(self, input: Tensor, index: Tensor | slice) -> Batch:
        """The samples at ``index`` with the given, already normalized input."""
        clean = self.clean_label_if_known
        return Batch(
            input,
            self.label[index],
            None if clean is None else clean[index],
            self.index[index],
        )

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """The whole split in order, ``batch_size`` samples at a time."""
        for start in range(0, len(self), batch_size):
            yield self.batch(slice(start, start + batch_size))

    def subset(self, index: Tensor) -> Split:
        """The split of the samples at ``index``, in that order."""
        return self._each(lambda tensor: tensor[index], rows_of(self.input, index))

    def to(self, device: torch.device) -> Split:
        """The same samples on ``device``; the split itself if it is already there."""
        if self.input.device == device and self.label.device == device:
            return self
        return self._each(lambda tensor: tensor.to(device), self.input.to(device))

    def _each(self, function: Callable[[Tensor], Tensor], input: Inputs) -> Split:
        """The split of ``input`` with ``function`` applied to its other tensors."""
        clean = self.clean_label_if_known
        return Split(
            input,
            function(self.label),
            None if clean is None else function(clean),
            function(self.source_index),
            self.normalize,
        )

    @property
    def nbytes(self) -> int:
        """The size of its tensors in bytes."""
        clean = self.clean_label_if_known
        tensors = (self.input, self.label, clean, self.source_index, self.index)
        return sum(tensor.nbytes for tensor in tensors if tensor is not None)

    def _ready(self, input: Tensor) -> Tensor:
        return input if self.normalize is None else self.normalize(input)
