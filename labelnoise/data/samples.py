"""Samples with labels, before they are selected and read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Samples with their true labels; the inputs are read only by :meth:`inputs`.

    Selecting therefore copies no image.

    Attributes:
        label: (n,) int64.
        source_index: (n,) int64, the position of each sample in the published data set or file
            list.
        read: maps k of these positions to the inputs: images (k, c, h, w) uint8, or feature rows
            (k, d) float32.

    Example:
        >>> image = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1)
        >>> images = Samples.in_memory(image, torch.tensor([5, 6, 7]))
        >>> chosen = images.subset(torch.tensor([2, 0]))
        >>> chosen.label.tolist(), chosen.inputs().flatten().tolist()
        ([7, 5], [2, 0])
    """

    label: Int[Tensor, " n"]
    source_index: Int[Tensor, " n"]
    read: Callable[[Int[Tensor, " k"]], Shaped[Tensor, "k ..."]]

    @classmethod
    def in_memory(cls, input: Shaped[Tensor, "n ..."], label: Int[Tensor, " n"]) -> Samples:
        """All samples of a data set in memory."""
        every = torch.arange(len(label))

        def read(places: Int[Tensor, " k"]) -> Shaped[Tensor, "k ..."]:
            return input if torch.equal(places, every) else input.index_select(0, places)

        return cls(label, every, read)

    def __len__(self) -> int:
        return len(self.label)

    def subset(self, index: Int[Tensor, " k"]) -> Samples:
        """The samples at ``index``, in that order."""
        return replace(self, label=self.label[index], source_index=self.source_index[index])

    def inputs(self) -> Shaped[Tensor, "n ..."]:
        """The inputs; no copy if these are all samples of a data set in memory, in order."""
        return self.read(self.source_index)
