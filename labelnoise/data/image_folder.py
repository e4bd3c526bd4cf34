"""Your own images in folders named by class; a CSV may have other labels."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from labelnoise.data.class_folders import (
    Listing,
    describe_left_out,
    left_out_of_root,
    list_images,
)
from labelnoise.data.image_files import NOTES, WHITE, colour_of, decode_all
from labelnoise.data.images import ImageDataModule
from labelnoise.data.label_table import read_given_labels
from labelnoise.data.samples import Samples
from labelnoise.errors import InputError
from labelnoise.files import content_of, listing_of
from labelnoise.noise import LabelNoise, NoiseRecord

log = logging.getLogger(__name__)

# Values of data.truth.
TRUTHS = ("unknown", "folders")
# The normalization of torchvision's pretrained networks.
CHANNELS = 3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageFolderDataModule(ImageDataModule):
    """Images in ``root/train/CLASS/`` and ``root/test/CLASS/``; see :class:`ImageDataModule`.

    The name of a folder is the class of its images. Without ``labels``, ``noise`` flips the folder
    names; if it flips nothing, they are the given labels. With ``labels`` the CSV has the given
    labels of the training images, and the kind of the record is "csv". With ``truth="folders"`` the
    folder names are the true labels. Otherwise the true labels are unknown, because a CSV may have
    corrected labels as well as wrong ones. If the run itself flips labels, "clean" means the label
    before the flip.

    Args:
        noise: the label noise; "none" with ``labels``.
        root: the folder with train and test.
        labels: CSV with the columns file,label and one row for every training image.
        truth: "folders" if the folder names of training and test images are the true labels, else
            "unknown".
        image_size: side of the images; the shorter side is resized to it, and the centre is
            cropped.
        background: the colour of transparent pixels, by name or as red, green, blue.
        mean, std: of each channel, on the scale of 0 to 1.
        options: the options of :class:`ImageDataModule`.

    Attributes (after ``setup``):
        files: the training images as ``train/CLASS/name``; a source index is a position in this
            list.
        test_files: the test images as ``test/CLASS/name``.
        left_out: number of files that are not read or read only in part, by the keys of ``REASONS``
            in class_folders.py and of ``NOTES`` in image_files.py.

    Raises:
        InputError: noise in addition to ``labels``, or an unknown ``truth``; at set-up, images or
            labels that cannot be used.
    """

    files: list[str]
    test_files: list[str]
    size_options = "data.image_size, data.per_class or data.test_per_class"

    def __init__(
        self,
        noise: LabelNoise,
        *,
        root: str | Path,
        labels: str | Path | None = None,
        truth: str = "unknown",
        image_size: int = 32,
        background: Any = WHITE,
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
        if truth not in TRUTHS:
            raise InputError(
                f"data.truth is {truth!r}; write folders if the folder names are the true "
                "labels, else unknown"
            )
        if labels is not None and noise.kind != "none":
            raise InputError(
                f"data.labels={labels} gives the training labels, but noise={noise.kind} would "
                "flip them again; write noise=none, or data.labels=null"
            )
        self.root = Path(root).expanduser()
        self.labels = None if labels is None else Path(labels).expanduser()
        self.labels_are_true = truth == "folders"
        self.image_size = image_size
        self.input_shape = (3, image_size, image_size)
        self.background = colour_of(background)

    def sources(self) -> dict[str, str | None]:
        found = super().sources() | {"data.root": self._files_found()}
        return found if self.labels is None else found | {"data.labels": content_of(self.labels)}

    def _files_found(self) -> str | None:
        """A fingerprint of names, sizes and times of the images; reading all would be slow."""
        try:
            files = [
                self.root / part / file
                for part in ("train", "test")
                for file in list_images(self.root / part).files
            ]
        except InputError:  # raised again when the images are read
            return None
        return listing_of(self.root, files)

    def read(self) -> tuple[Samples, Samples]:
        train = list_images(self.root / "train")
        self.class_names = train.class_names
        if len(self.class_names) < 2:
            raise InputError(
                f"{self.root / 'train'} has one class, '{self.class_names[0]}'; put the images "
                "into two or more class folders"
            )
        test = list_images(self.root / "test", self.class_names)
        self._count(train, test)
        if self.labels is not None:
            self._given_label = read_given_labels(self.labels, train.files, self.class_names)
        self.files = [f"train/{file}" for file in train.files]
        self.test_files = [f"test/{file}" for file in test.files]
        return self._images(self.files, train.label), self._images(self.test_files, test.label)

    def _count(self, train: Listing, test: Listing) -> None:
        """Log the numbers of images that are read and left out."""
        left_out = train.left_out + test.left_out + left_out_of_root(self.root)
        why = describe_left_out(left_out, train.endings + test.endings)
        log.log(
            logging.WARNING if why else logging.INFO,
            f"{self.root}: {len(train.files)} training and {len(test.files)} test images in "
            f"{len(self.class_names)} classes; left out: {why or 'nothing'}",
        )
        self.left_out = dict(left_out)

    def sample_names(self, source_index: Tensor) -> list[str]:
        """The files of training images, as in ``files``."""
        return [self.files[i] for i in source_index.tolist()]

    def picture(self, source_index: int, side: int) -> UInt8[Tensor, "c h w"] | None:
        if side <= self.image_size:
            return None
        file = self.root / self.files[source_index]
        return decode_all([file], side, self.background)[0][0]

    def _images(self, files: Sequence[str], label: Int[Tensor, " n"]) -> Samples:
        return Samples(label, torch.arange(len(files)), partial(self._decode_some, files))

    def _decode_some(
        self, files: Sequence[str], places: Int[Tensor, " k"]
    ) -> UInt8[Tensor, "k c h w"]:
        return self._decode([files[i] for i in places.tolist()])[0]

    def _decode(self, files: Sequence[str]) -> tuple[UInt8[Tensor, "n c h w"], Counter[str]]:
        return decode_all([self.root / file for file in files], self.image_size, self.background)

    def _inputs(self, train: Samples, test: Samples) -> tuple[Tensor, Tensor]:
        """Decode all images together, so that one error names all unreadable files."""
        files = [self.files[i] for i in train.source_index.tolist()]
        files += [self.test_files[i] for i in test.source_index.tolist()]
        image, notes = self._decode(files)
        if notes:
            said = [f"{notes[key]} {words}" for key, words in NOTES.items() if notes[key]]
            log.warning("%s: read images: %s", self.root, ", ".join(said))
            self.left_out = {**self.left_out, **notes}
        return image[: len(train)], image[len(train) :]

    def _draw_pool(self, pool: Samples) -> NoiseRecord:
        if self.labels is None:
            return super()._draw_pool(pool)
        record = NoiseRecord(
            kind="csv",
            seed=None,
            rate_requested=None,
            matrix_requested=None,
            clean_label=pool.label,
            label=self._given_label[pool.source_index],
            num_classes=self.num_classes,
            truth="given",
        )
        return record if self.labels_are_true else record.without_truth()
