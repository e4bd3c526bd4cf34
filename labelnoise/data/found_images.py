"""The images of a data set and their labels, before they are decoded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class ImageList:
    """Image files with their labels, before they are decoded.

    Attributes:
        files: n names below the root of the data.
        label: (n,) int64, the given labels.
        clean_label: (n,) int64, the true labels if a second source gives them; else None.
        is_final: whether ``label`` may differ from the true labels. Label noise is then refused.
        is_held: (n,) bool, the images that the user chose for validation; None if he chose none.
    """

    files: list[str]
    label: Int[Tensor, " n"]
    clean_label: Int[Tensor, " n"] | None = None
    is_final: bool = False
    is_held: Bool[Tensor, " n"] | None = None

    def subset(self, index: Int[Tensor, " k"]) -> ImageList:
        """The images at ``index``."""
        clean, held = self.clean_label, self.is_held
        return ImageList(
            [self.files[i] for i in index.tolist()],
            self.label[index],
            None if clean is None else clean[index],
            self.is_final,
            None if held is None else held[index],
        )


@dataclass(frozen=True)
class Found:
    """The images of a data set, and the files that are not read.

    Attributes:
        class_names: K names.
        train, test: the images; ``test`` is None if there are no test images.
        left_out, endings: as in :class:`labelnoise.data.left_out.Files`.
    """

    class_names: list[str]
    train: ImageList
    test: ImageList | None
    left_out: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)

    @property
    def files(self) -> list[str]:
        """The training and then the test images."""
        return self.train.files + ([] if self.test is None else self.test.files)
