"""Find samples that are the same, or nearly the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from labelnoise.data.batch import Split
from labelnoise.data.pool import PoolDataModule


@dataclass(frozen=True)
class Duplicates:
    """Groups of equal samples among n training samples.

    Attributes:
        exact: (n,) the number of the group of equal inputs; -1 for an input that occurs once.
        near: (n,) the same for equal perceptual hashes; all -1 if the samples are not images.
        in_test: (n,) whether a test sample has an equal input.
    """

    exact: Int[np.ndarray, " n"]
    near: Int[np.ndarray, " n"]
    in_test: NDArray[np.bool_]

    def counts(self, label: Int[np.ndarray, " n"]) -> dict[str, int]:
        """Numbers for audit.json: groups, their samples, and groups with different given labels."""
        return {
            "exact_groups": _groups(self.exact),
            "exact_samples": int((self.exact >= 0).sum()),
            "exact_conflicting_groups": _conflicting(self.exact, label),
            "near_groups": _groups(self.near),
            "near_samples": int((self.near >= 0).sum()),
            "near_conflicting_groups": _conflicting(self.near, label),
            "also_in_test": int(self.in_test.sum()),
        }


def find_duplicates(data: PoolDataModule, source: Int[np.ndarray, " n"]) -> Duplicates:
    """Compare the inputs of all training and test samples, as the network reads them.

    Images are compared after decoding and resizing. Two images are near duplicates if the 64 bits
    of their perceptual hash are equal. An exact duplicate is not counted as a near duplicate.

    Args:
        data: after ``setup``.
        source: the source indices of the samples, ascending.
    """
    n = len(source)
    keys, hashes = [""] * n, [""] * n
    for split in filter(None, (data.train, data.val)):
        place = np.searchsorted(source, split.source_index.numpy())
        for i, key, perceptual in zip(place, *_keys(split), strict=True):
            keys[i], hashes[i] = key, perceptual
    exact = group_equal(keys)
    single = [h if e < 0 else "" for h, e in zip(hashes, exact, strict=True)]
    test: Split | None = data.test
    in_test = set() if test is None else set(map(_digest, test.input))
    return Duplicates(exact, group_equal(single), np.array([key in in_test for key in keys]))


def group_equal(keys: Sequence[str]) -> Int[np.ndarray, " n"]:
    """The number of the group of each key, by first occurrence; -1 if it is empty or unique.

    Example:
        >>> group_equal(["a", "b", "a", "", "c", "b"]).tolist()
        [0, 1, 0, -1, -1, 1]
    """
    times: dict[str, int] = {}
    for key in keys:
        times[key] = times.get(key, 0) + 1
    number: dict[str, int] = {}
    for key in keys:
        if key and times[key] > 1:
            number.setdefault(key, len(number))
    return np.array([number.get(key, -1) for key in keys], dtype=np.int64)


def _keys(split: Split) -> tuple[list[str], Iterable[str]]:
    images = split.input.ndim == 4 and split.input.dtype.is_floating_point is False
    keys = [_digest(row) for row in split.input]
    return keys, [_perceptual(row) for row in split.input] if images else [""] * len(keys)


def _digest(row: Shaped[Tensor, "*shape"]) -> str:
    return hashlib.sha256(np.ascontiguousarray(row.numpy()).tobytes()).hexdigest()


def _perceptual(image: Shaped[Tensor, "c h w"]) -> str:
    """The perceptual hash by the discrete cosine transform; empty for an image of one colour."""
    from imagehash import phash  # slow to import
    from PIL import Image

    pixels = image.numpy()
    if pixels.min() == pixels.max():
        return ""
    grey = len(pixels) == 1
    return str(phash(Image.fromarray(pixels[0] if grey else pixels.transpose(1, 2, 0))))


def _groups(group: Int[np.ndarray, " n"]) -> int:
    return int(group.max(initial=-1)) + 1


def _conflicting(group: Int[np.ndarray, " n"], label: Int[np.ndarray, " n"]) -> int:
    """Number of groups with more than one given label."""
    grouped = group >= 0
    pairs = np.unique(np.stack([group[grouped], label[grouped]]), axis=1)
    return int((np.bincount(pairs[0], minlength=1) > 1).sum()) if pairs.size else 0
