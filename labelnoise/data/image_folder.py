"""Your own images in folders named by class; a CSV may have other labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from labelnoise.checks import check_word
from labelnoise.data.class_folders import Listing, left_out_of_root, list_images, split_folders
from labelnoise.data.image_lists import Found, ImageList, ImageListDataModule
from labelnoise.data.label_table import read_given_labels
from labelnoise.errors import InputError
from labelnoise.files.writing import content_of
from labelnoise.noise import LabelNoise

# Values of data.truth.
TRUTHS = ("unknown", "folders")


class ImageFolderDataModule(ImageListDataModule):
    """Images in ``root/train/CLASS/`` and ``root/test/CLASS/``; see :class:`ImageListDataModule`.

    The class of an image is the name of the folder below ``train`` or ``test``, also if the image
    is in a folder below the class folder. Without ``root/train`` the class folders of the training
    images are in ``root``. Without ``root/test`` there are no test metrics.

    Without ``labels``, ``noise`` flips the folder names; if it flips nothing, they are the given
    labels. With ``labels`` the CSV has the given labels of the training images, and the kind of the
    record is "csv". With ``truth="folders"`` the folder names are the true labels. Otherwise the
    true labels are unknown, because a CSV may have corrected labels as well as wrong ones. If the
    run itself flips labels, "clean" means the label before the flip.

    Args:
        noise: the label noise; "none" with ``labels``.
        root: the folder with train and test.
        labels: CSV with the columns file,label and one row for every training image.
        truth: "folders" if the folder names of training and test images are the true labels, else
            "unknown".
        options: the options of :class:`ImageListDataModule`.

    Raises:
        InputError: noise in addition to ``labels``, or an unknown ``truth``; at set-up, images or
            labels that cannot be used.
    """

    def __init__(
        self,
        noise: LabelNoise,
        *,
        root: str | Path,
        labels: str | Path | None = None,
        truth: str = "unknown",
        **options: Any,
    ) -> None:
        super().__init__(noise, root=root, **options)
        check_word("data.truth", truth, TRUTHS)
        if labels is not None and noise.kind != "none":
            raise InputError(
                f"data.labels={labels} gives the training labels, but noise={noise.kind} would "
                "flip them again; write noise=none, or data.labels=null"
            )
        self.labels = None if labels is None else Path(labels).expanduser()
        self.labels_are_true = truth == "folders"

    def sources(self) -> dict[str, str | None]:
        found = super().sources()
        return found if self.labels is None else found | {"data.labels": content_of(self.labels)}

    def file_names(self) -> list[str]:
        train, test = self._listings()
        return self._named(train, "train") + ([] if test is None else self._named(test, "test"))

    def find(self) -> Found:
        train, test = self._listings()
        listings = [train] if test is None else [train, test]
        left_out = sum((listing.left_out for listing in listings), Counter[str]())
        if self._has_splits:
            left_out += left_out_of_root(self.root)
        label, clean = train.label, None
        if self.labels is not None:
            label = read_given_labels(self.labels, train.files, train.class_names)
            clean = train.label if self.labels_are_true else None
        return Found(
            train.class_names,
            ImageList(self._named(train, "train"), label, clean, self.labels is not None),
            None if test is None else ImageList(self._named(test, "test"), test.label),
            left_out,
            sum((listing.endings for listing in listings), Counter[str]()),
        )

    def _listings(self) -> tuple[Listing, Listing | None]:
        """The training and the test images."""
        folder, test_folder = split_folders(self.root)
        self._has_splits = folder != self.root
        train = list_images(folder)
        if len(train.class_names) < 2:
            name = train.class_names[0]
            raise InputError(
                f"{folder} has one class, '{name}'; put the images into two or more class folders"
                + (
                    ""
                    if self._has_splits
                    else f", or write data.root={folder / name} if its folders are the classes"
                )
            )
        test = None if test_folder is None else list_images(test_folder, train.class_names)
        return train, test

    def _named(self, listing: Listing, part: str) -> list[str]:
        """The files of a listing, below ``root``."""
        return [f"{part}/{file}" if self._has_splits else file for file in listing.files]
