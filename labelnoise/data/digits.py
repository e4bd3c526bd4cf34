"""The handwritten digits of scikit-learn: real images without a download."""

from __future__ import annotations

from typing import Any

import torch

from labelnoise.data.batch import Split
from labelnoise.data.images import ImageDataModule
from labelnoise.data.samples import Samples
from labelnoise.noise import LabelNoise

N_TEST = 500  # the last images; the others train
HIGHEST_GREY = 16


class DigitsDataModule(ImageDataModule):
    """1,797 grey images of 8 x 8 pixels in ten classes; 1,297 train and the last 500 test.

    The grey values 0 to 16 become 0 to 255. The data are the test set of the Optical Recognition of
    Handwritten Digits data set of the UCI Machine Learning Repository (E. Alpaydin, C. Kaynak,
    1998); scikit-learn contains them.

    Args:
        noise: the label noise.
        options: those of :class:`ImageDataModule`.

    Raises:
        InputError: ``augment``, which mirrors images: a mirrored digit is no digit.
    """

    test: Split
    num_classes = 10
    class_names = tuple("0123456789")
    input_shape = (1, 8, 8)
    source_size = 1297
    mirrored_class = "a mirrored digit is not a digit"

    def __init__(self, noise: LabelNoise, **options: Any) -> None:
        super().__init__(noise, mean=(0.3059,), std=(0.3755,), **options)

    def read(self) -> tuple[Samples, Samples]:
        from sklearn.datasets import load_digits  # slow to import

        digits = load_digits()
        image = torch.from_numpy(digits.images)[:, None] * (255 / HIGHEST_GREY)
        label = torch.from_numpy(digits.target).long()
        pixels = image.round().to(torch.uint8)
        return (
            Samples.in_memory(pixels[:-N_TEST], label[:-N_TEST]),
            Samples.in_memory(pixels[-N_TEST:], label[-N_TEST:]),
        )
