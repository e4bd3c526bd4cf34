"""MNIST and Fashion-MNIST: grey images of 28 x 28 pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from torchvision.datasets import MNIST, FashionMNIST

from labelnoise.data.idx_files import SIDE, fetch, paths, read_part
from labelnoise.data.images import ImageDataModule
from labelnoise.data.samples import Samples
from labelnoise.files.writing import content_of
from labelnoise.noise import LabelNoise


class MNISTDataModule(ImageDataModule):
    """Handwritten digits: 60,000 training and 10,000 test images of 28 x 28 grey pixels.

    The files are those of torchvision in ``root/MNIST/raw``, extracted or compressed (.gz). They
    are read without pickle. Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based
    learning applied to document recognition", 1998.

    Args:
        noise: the label noise.
        root: the folder for the folder of the files.
        download: download files that are missing.
        options: those of :class:`ImageDataModule`.

    Raises:
        InputError: ``augment`` for digits, which mirrors images; at set-up, files that are missing
            or cannot be used.
    """

    files: ClassVar[type[MNIST]] = MNIST
    # Of the training images, on the scale of 0 to 1.
    grey: ClassVar[tuple[float, float]] = (0.1307, 0.3081)
    num_classes = 10
    class_names: tuple[str, ...] = tuple("0123456789")
    input_shape = (1, SIDE, SIDE)
    mirrored_class: ClassVar[str | None] = "a mirrored digit is not a digit"

    def __init__(
        self,
        noise: LabelNoise,
        *,
        root: str | Path = "data",
        download: bool = True,
        **options: Any,
    ) -> None:
        mean, std = self.grey
        super().__init__(noise, mean=(mean,), std=(std,), **options)
        self.root = Path(root).expanduser()
        self.download = download
        self._is_fetched = False

    def prepare_data(self) -> None:
        """Fetch the files, once."""
        if not self._is_fetched:
            fetch(self.files, self.root, download=self.download)
            self._is_fetched = True

    def sources(self) -> dict[str, str | None]:
        return super().sources() | {"data.root": content_of(*paths(self.files, self.root))}

    def read(self) -> tuple[Samples, Samples]:
        train_image, train_label, test_image, test_label = paths(self.files, self.root)
        return (
            read_part(train_image, train_label, self.num_classes),
            read_part(test_image, test_label, self.num_classes),
        )


class FashionMNISTDataModule(MNISTDataModule):
    """Articles of clothing, in the form of :class:`MNISTDataModule`; they may be mirrored.

    Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST", 2017 (arXiv 1708.07747).
    """

    files = FashionMNIST
    grey = (0.2860, 0.3530)
    class_names = (
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )
    mirrored_class = None
