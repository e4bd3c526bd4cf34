"""Folders of small images written on the spot, each of a colour of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, features

from labelnoise.data.decoding import decode_all
from labelnoise.data.image_folder import ImageFolderDataModule
from labelnoise.noise import NoNoise

CLASSES = ("cat", "dog", "eel")
TRAIN_EACH, TEST_EACH = 10, 4


def colour(part: str, name: str, number: int) -> tuple[int, int, int]:
    return (CLASSES.index(name) * 50, number * 20, 200 if part == "train" else 100)


def write_image(
    path: Path, rgb: tuple[int, int, int] = (0, 0, 0), size: tuple[int, int] = (12, 12)
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, rgb).save(path)


def write_folders(root: Path) -> Path:
    """Ten training and four test images of each class."""
    for part, each in (("train", TRAIN_EACH), ("test", TEST_EACH)):
        for name in CLASSES:
            for number in range(each):
                path = root / part / name / f"{number}.png"
                write_image(path, colour(part, name, number))
    return root


def make(root: Path, noise: Any = None, **options: Any) -> ImageFolderDataModule:
    options = {"image_size": 8, **options}
    data = ImageFolderDataModule(noise or NoNoise(), root=root, **options)
    data.setup("fit")
    return data


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def needs(feature: str, value: str) -> Any:
    """A value for Pillows that were built with the feature."""
    missing = not features.check(feature)
    return pytest.param(value, marks=pytest.mark.skipif(missing, reason=f"no {feature} here"))


def pixel(path: Path, background: tuple[int, int, int] = (255, 255, 255)) -> tuple[int, ...]:
    """The one colour of an image of 2 x 2 pixels."""
    image, _ = decode_all([path], 2, background)
    assert (image == image[:, :, :1, :1]).all()
    return tuple(image[0, :, 0, 0].tolist())
