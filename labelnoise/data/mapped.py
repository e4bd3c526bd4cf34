"""Images in a memory-mapped file: only the rows of a batch are read."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

# Rows that are read at once on the way to a GPU.
ROWS_PER_COPY = 256


class MappedImages:
    """The images at ``rows`` of a memory-mapped array, in that order.

    It has the part of a tensor's interface that splits use. Every access to images returns a copy
    in memory; the operating system may drop the pages of the file at any time.

    Args:
        images: opened read-only.
        rows: positions in ``images``.

    Example:
        >>> images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
        >>> chosen = MappedImages(images, torch.tensor([2, 0]))
        >>> len(chosen), chosen[:].flatten().tolist(), chosen[1].item()
        (2, [2, 0], 0)
        >>> chosen.subset(torch.tensor([1])).index_select(0, torch.tensor([0])).item()
        0
    """

    dtype = torch.uint8
    device = torch.device("cpu")
    ndim = 4

    def __init__(self, images: UInt8[np.ndarray, "N c h w"], rows: Int[Tensor, " n"]) -> None:
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            self._images = torch.from_numpy(images)  # warns that it cannot be written
        self._rows = rows
        self.shape = torch.Size([len(rows), *images.shape[1:]])

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[UInt8[Tensor, "c h w"]]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        rows = self._rows[index]
        # A slice of the file would be a tensor that cannot be written.
        return self._images[rows].clone() if rows.ndim == 0 else self._images.index_select(0, rows)

    def index_select(self, dim: int, index: Int[Tensor, " k"]) -> UInt8[Tensor, "k c h w"]:
        """Copies of the images at ``index``; ``dim`` is 0."""
        assert dim == 0, "images are selected"
        return self._images.index_select(0, self._rows[index])

    def subset(self, index: Tensor | slice) -> MappedImages:
        """The images at ``index`` without reading them."""
        return MappedImages(self._images.numpy(), self._rows[index])

    def to(self, device: torch.device) -> UInt8[Tensor, "n c h w"]:
        """All images on a device; the copy in memory is small."""
        output = torch.empty(self.shape, dtype=self.dtype, device=device)
        for start in range(0, len(self), ROWS_PER_COPY):
            output[start : start + ROWS_PER_COPY] = self[start : start + ROWS_PER_COPY]
        return output

    @property
    def nbytes(self) -> int:
        """The size of the images if they were in memory."""
        return math.prod(self.shape)


Inputs = Tensor | MappedImages


def rows_of(input: Inputs, index: Tensor | slice) -> Inputs:
    """The inputs at ``index``; mapped images are not read."""
    return input.subset(index) if isinstance(input, MappedImages) else input[index]
