"""Your own images in folders named by class, with the given labels in a CSV if they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from labelnoise.data.image_files import decode_all, list_images, read_given_labels
from labelnoise.data.images import ImageDataModule, Images
from labelnoise.distributed import world_size
from labelnoise.errors import InputError
from labelnoise.memory import check_fits
from labelnoise.noise import LabelNoise, NoiseRecord

# Of natural images, as torchvision's pretrained networks take them.
CHANNELS = 3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageFolderDataModule(ImageDataModule):
    """Images in ``root/train/CLASS/`` and ``root/test/CLASS/``; see :class:`ImageDataModule`.

    A folder's name is its images' class. Without ``labels`` it is the true label, and ``noise``
    makes the given ones. With ``labels`` the CSV has the given labels of the training images, as
    found in a real data set, and the folders are what one knows better; the record's kind is "csv".

    Args:
        noise: the label noise; none where ``labels`` is given.
        root: the folder that holds train and test.
        labels: CSV with the columns file,label, one row for every training image.
        image_size: side of the images; the shorter side is resized to it, the middle cut out.
        mean, std: of each channel, on the scale of 0 to 1.
        options: those of :class:`ImageDataModule`.

    Attributes (after ``setup``):
        files: the training images as ``train/CLASS/name``; a source index is a place in this list.
        test_files: the test images likewise.

    Raises:
        InputError: at once for noise on top of ``labels``; when set up, for images or labels that
            cannot be used.
    """

    files: list[str]
    test_files: list[str]

    def __init__(
        self,
        noise: LabelNoise,
        *,
        root: str | Path,
        labels: str | Path | None = None,
        image_size: int = 32,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        **options: Any,
    ) -> None:
        super().__init__(noise, mean=mean, std=std, **options)
        if len(mean) != CHANNELS:
            raise InputError(
                f"data.mean and data.std have {len(mean)} numbers; write one for each of the "
                f"{CHANNELS} channels"
            )
        if image_size < 1:
            raise InputError(f"data.image_size is {image_size}; write 1 or more")
        if labels is not None and noise.kind != "none":
            raise InputError(
                f"data.labels={labels} gives the training labels and noise={noise.kind} would flip "
                "them again; write noise=none, or data.labels=null"
            )
        self.root = Path(root).expanduser()
        self.labels = None if labels is None else Path(labels).expanduser()
        self.image_size = image_size

    def _read(self) -> tuple[Images, Images]:
        self.class_names, train, train_label = list_images(self.root / "train")
        if len(self.class_names) < 2:
            raise InputError(
                f"{self.root / 'train'} has one class, '{self.class_names[0]}'; put the images "
                "into two or more class folders"
            )
        _, test, test_label = list_images(self.root / "test", self.class_names)
        if self.labels is not None:
            self._given_label = read_given_labels(self.labels, train, self.class_names)
        self._check_memory(len(train), len(test))
        self.files = [f"train/{file}" for file in train]
        self.test_files = [f"test/{file}" for file in test]
        return self._decode(self.files, train_label), self._decode(self.test_files, test_label)

    def _check_memory(self, train: int, test: int) -> None:
        """Before decoding, which can take minutes."""
        # A validation split is a copy, all samples as one batch are floats.
        images = test + train * (1 + self.val_fraction + 4 * (self.batch_size is None))
        check_fits(
            round(world_size() * images * 3 * self.image_size**2),
            f"{train} training and {test} test images of data.image_size={self.image_size} with "
            f"batch_size={'null' if self.batch_size is None else self.batch_size}",
            "write a smaller size or batch",
        )

    def sample_names(self, source_index: Tensor) -> list[str]:
        """Files of the training images, as in ``files``."""
        return [self.files[i] for i in source_index.tolist()]

    def _decode(self, files: Sequence[str], label: Int[Tensor, " n"]) -> Images:
        image = decode_all([self.root / file for file in files], self.image_size)
        return Images(image, label, torch.arange(len(files)))

    def _draw_pool(self, pool: Images) -> NoiseRecord:
        if self.labels is None:
            return super()._draw_pool(pool)
        return NoiseRecord(
            kind="csv",
            seed=None,
            rate_requested=None,
            matrix_requested=None,
            clean_label=pool.label,
            label=self._given_label[pool.source_index],
            num_classes=self.num_classes,
        )
