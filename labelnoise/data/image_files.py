"""Decode an image file into 8 bits per channel; what could be misread is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageColor, ImageOps
from torchvision.transforms.functional import center_crop, resize

from labelnoise.errors import InputError

# EPS files are programs that Pillow would run in Ghostscript.
REFUSED_FORMATS = {"EPS"}

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)

# Images that are read only in part: the key in summary.json, and the words in the log.
NOTES = {
    "later_frames": "with several frames, only the first is read",
    "lower_bits": "with 16 bits per channel, only the upper 8 are read",
    "exif": "with EXIF data that cannot be read, so the image is not rotated",
}

# Modes that Pillow converts to 8-bit colours correctly.
MODES = {
    "1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"
}  # fmt: skip
# Pillow's conversion of 16-bit grey to "RGB" clips at 255. In these formats 65535 is white.
GREY_16 = {"I;16", "I;16B", "I;16L", "I;16N"}
FORMATS_16 = {"PNG", "TIFF", "JPEG2000"}
GREY_MODES = {"1", "L", "LA", "La"} | GREY_16
# Pillow scales grey pixels of few bits to 0..255, but not the transparent grey level.
GREY_STEPS = {"L;2": 85, "L;4": 17}


@cache
def readable_endings() -> frozenset[str]:
    """The file endings that Pillow can decode here."""
    endings = Image.registered_extensions().items()
    return frozenset(end for end, kind in endings if kind in _formats())


@cache
def _formats() -> list[str]:
    Image.init()
    return [kind for kind in Image.ID if kind not in REFUSED_FORMATS]


def colour_of(background: Any) -> Colour:
    """Red, green and blue of a colour given by name or by numbers.

    Raises:
        InputError: neither a colour name of Pillow nor three whole numbers from 0 to 255.

    Example:
        >>> colour_of("white"), colour_of([0, 128, 255])
        ((255, 255, 255), (0, 128, 255))
    """
    colour: Sequence[int] = ()
    if isinstance(background, str):
        try:
            colour = ImageColor.getrgb(background)
        except ValueError:
            colour = ()
    elif isinstance(background, Sequence):
        in_range = [type(value) is int and 0 <= value <= 255 for value in background]
        colour = background if all(in_range) else ()
    if len(colour) != 3:
        is_list = isinstance(background, Sequence) and not isinstance(background, str)
        came = list(background) if is_list else background
        raise InputError(
            f"data.background is {came}; write a colour such as white or black, or its red, green "
            "and blue from 0 to 255, as in data.background=[255,255,255]"
        )
    return colour[0], colour[1], colour[2]


def is_grey(path: Path, background: Colour = WHITE) -> bool:
    """Whether an image has no colours by its format; True if it cannot be read.

    Only the head of the file is read. Transparent pixels get the colour ``background``.
    """
    try:
        with Image.open(path, formats=_formats()) as file:
            has_background = file.has_transparency_data and len(set(background)) > 1
            return file.mode in GREY_MODES and not has_background
    except Exception:  # decoding names the file
        return True


def decode(
    path: Path, size: int, background: Colour = WHITE, channels: int = 3
) -> tuple[UInt8[np.ndarray, "c size size"], list[str]]:
    """Read an image with 8 bits; resize the shorter side to ``size`` and crop the centre.

    Only the first frame is read. The EXIF orientation is applied. Transparent pixels get the colour
    ``background``. Of 16 bits per channel the upper 8 are read.

    Args:
        path: the file.
        size: side of the result.
        background: red, green and blue.
        channels: 3 for red, green and blue; 1 for grey, 0.299 R + 0.587 G + 0.114 B.

    Returns:
        The pixels, and the keys of ``NOTES`` that apply.

    Raises:
        Exception: of any type, for a damaged file.
        ValueError: the mode cannot be converted to 8 bits, or the image has too many pixels.
    """
    # ``formats`` also refuses a file of a refused format with another ending.
    with Image.open(path, formats=_formats()) as file:
        _check_pixels(file.width, file.height, size)
        notes = ["later_frames"] if getattr(file, "is_animated", False) else []
        stored = [str(tile.args) for tile in file.tile]  # Pillow's description of the pixel format
        # BGR;16 has 16 bits for all channels together.
        if file.mode in GREY_16 or any(re.search("(?<!BGR);16", form) for form in stored):
            _check_deep(file)
            notes.append("lower_bits")
        elif file.mode not in MODES:
            raise ValueError(f"mode {file.mode}, which does not have 8 bits per channel")
        if stored and stored[0] in GREY_STEPS and "transparency" in file.info:
            file.info["transparency"] *= GREY_STEPS[stored[0]]
        file.load()
        image, is_known = _upright(file)
        notes += [] if is_known else ["exif"]
        image = _opaque(_eight_bits(image), background)
    image = image if channels == 3 else image.convert("L")
    if image.size != (size, size):
        image = center_crop(resize(image, [size]), [size, size])
    pixels = np.asarray(image)
    return (pixels.transpose(2, 0, 1) if channels == 3 else pixels[None]), notes


def _check_pixels(width: int, height: int, size: int) -> None:
    """Refuse an image with too many pixels, before or after resizing."""
    most = Image.MAX_IMAGE_PIXELS
    resized = size * size * max(width, height) // max(1, min(width, height))
    # An aspect ratio of up to 4 is always allowed, also with a large ``size``.
    if most is not None and (width * height > most or resized > max(most, 4 * size * size)):
        raise ValueError(f"{width} x {height} pixels, before or after resizing more than {most}")


def _check_deep(file: Image.Image) -> None:
    """Refuse files with 16 bits per channel unless 0 is black and 65535 is white."""
    if "transparency" in file.info:
        raise ValueError("16 bits per channel and a transparent colour")
    if file.mode not in GREY_16:
        return
    tags = getattr(file, "tag_v2", {})  # TIFF: 258 is bits per sample; 262 is 1 if 0 is black
    if file.format not in FORMATS_16 or tags.get(258, (16,)) != (16,) or tags.get(262, 1) != 1:
        raise ValueError(f"grey with more than 8 bits, mode {file.mode}")


def _upright(file: Image.Image) -> tuple[Image.Image, bool]:
    """The image with its EXIF orientation applied, and whether the EXIF data can be read."""
    try:
        orientation = file.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data do not damage the image
        return file, False
    return (file if orientation == 1 else ImageOps.exif_transpose(file)), True


def _eight_bits(image: Image.Image) -> Image.Image:
    """The upper 8 bits of 16-bit grey, as Pillow does for 16-bit colours."""
    if image.mode not in GREY_16:
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _opaque(image: Image.Image, background: Colour) -> Image.Image:
    """The image in RGB with the background colour in transparent pixels."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    below = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(below, image.convert("RGBA")).convert("RGB")
