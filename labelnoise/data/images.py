"""The base class of image data sets: normalization, augmentation and memory."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from labelnoise.data.loaders import Augment, Normalize, crop_and_flip
from labelnoise.data.memory import check_fits
from labelnoise.data.pool import PoolDataModule
from labelnoise.errors import InputError
from labelnoise.noise import LabelNoise
from labelnoise.processes.distributed import world_size

log = logging.getLogger(__name__)


# By number of channels: the mean and the standard deviation of torchvision's pretrained networks,
# and their averages over the channels.
NORMALIZATION: dict[int, tuple[Sequence[float], Sequence[float]]] = {
    3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    1: ((0.449,), (0.226,)),
}


def normalization(
    channels: int, mean: Sequence[float] | None, std: Sequence[float] | None
) -> dict[str, Any]:
    """The mean and std of :class:`Normalize`; None is that of natural images.

    Raises:
        InputError: another number of values than ``channels``.
    """
    natural = NORMALIZATION.get(channels, NORMALIZATION[3])
    chosen = {
        "mean": natural[0] if mean is None else mean,
        "std": natural[1] if std is None else std,
    }
    for name, values in chosen.items():
        if channels not in NORMALIZATION or len(values) != channels:
            count = channels if channels in NORMALIZATION else "1 or 3"
            raise InputError(
                f"data.{name} has {len(values)} numbers for images of {count} channels; write "
                "one for each channel, or null for those of natural images; data.channels=1 "
                "and 3 set the number of channels"
            )
    return chosen


class ImageDataModule(PoolDataModule):
    """8-bit images; a data set is a subclass with :meth:`read`, see :class:`PoolDataModule`.

    Args:
        noise: the label noise.
        mean, std: of each channel, on the scale of 0 to 1.
        augment: shift training images by up to an eighth of their height (4 of 32 pixels), and
            mirror half of them.
        options: those of :class:`PoolDataModule`.

    Attributes:
        mirrored_class: why a mirrored image has another class, if it has; ``augment`` is then
            refused with this reason.
        size_options: the options that reduce memory, for the message.
        can_map: whether ``data.cache=disk`` can keep the images in a memory-mapped file.
        is_mapped: whether it does.
        input_shape: (c, h, w).
    """

    mirrored_class: ClassVar[str | None] = None
    size_options: str = "data.per_class or data.test_per_class"
    can_map: ClassVar[bool] = False
    is_mapped: bool = False
    input_shape: tuple[int, int, int]

    def __init__(
        self,
        noise: LabelNoise,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        augment: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(noise, **options)
        if augment and self.mirrored_class is not None:
            raise InputError(
                f"data.augment mirrors images, but {self.mirrored_class}: leave it out"
            )
        self.normalize = Normalize(mean, std)
        self.augment = augment

    def _augmentation(self) -> Augment | None:
        if not self.augment:
            return None
        return partial(crop_and_flip, padding=self.input_shape[1] // 8)

    def _check_memory(self, train: int, test: int) -> None:
        shape = " x ".join(map(str, self.input_shape))
        contents = f"{train} training and {test} test images of {shape} bytes"
        size = self._memory(train, test)
        if size:
            log.info(check_fits(size, contents, self._memory_advice()))

    def _memory(self, train: int, test: int) -> int:
        """Bytes of all simultaneous copies of the images, without those of a batch."""
        # With full-batch training, all training images are also kept as float32. They are read
        # together then, also from a mapped file.
        stored = 0 if self.is_mapped else train + test
        copies = 0 if self.batch_size is not None else 4 + self.is_mapped
        return math.prod(self.input_shape) * (stored + copies * train) * world_size()

    def _memory_advice(self) -> str:
        smaller = f"write a smaller {self.size_options}"
        if self.is_mapped:
            return f"{smaller}, or a number of images as batch_size"
        helps = self.can_map and self.batch_size is not None
        return f"{smaller}, or data.cache=disk" if helps else smaller
