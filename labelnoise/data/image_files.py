"""Decoding image files of every format and mode into 8-bit colours, none misread without a word."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageColor, ImageOps
from torch import Tensor
from torchvision.transforms.functional import center_crop, resize

from labelnoise.errors import InputError

# EPS files are programs that Pillow hands to Ghostscript: nothing to run on a stranger's images.
REFUSED_FORMATS = {"EPS"}
FILES_PER_TASK = 64
NAMED = 5

WHITE = (255, 255, 255)

# What is read in part or as it stands: the key in summary.json, and what the log says.
NOTES = {
    "later_frames": "with several frames, of which the first is read",
    "lower_bits": "of 16 bits a channel, of which the upper 8 are read",
    "exif": "with EXIF data that cannot be read, taken as they are stored",
}

# Modes that Pillow converts to 8-bit colours as they are meant.
MODES = {
    "1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"
}  # fmt: skip
# Pillow's "RGB" of 16-bit grey is cut off at 255. In these formats 65535 is white.
GREY_16 = {"I;16", "I;16B", "I;16L", "I;16N"}
FORMATS_16 = {"PNG", "TIFF", "JPEG2000"}
# Pillow keeps the transparent grey of few bits as it stands in the file, the pixels on 0 to 255.
GREY_STEPS = {"L;2": 85, "L;4": 17}


@cache
def readable_endings() -> frozenset[str]:
    """What a file may end in for Pillow to decode it here."""
    endings = Image.registered_extensions().items()
    return frozenset(end for end, kind in endings if kind in _formats())


@cache
def _formats() -> list[str]:
    Image.init()
    return [kind for kind in Image.ID if kind not in REFUSED_FORMATS]


def colour_of(background: Any) -> tuple[int, int, int]:
    """Red, green and blue of a colour that is given by name or by numbers.

    Raises:
        InputError: neither a colour that Pillow knows nor three whole numbers from 0 to 255.

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


def decode(
    path: Path, size: int, background: tuple[int, int, int] = WHITE
) -> tuple[UInt8[np.ndarray, "3 size size"], list[str]]:
    """Read one image as 8-bit RGB, its shorter side resized to ``size`` and its middle cut out.

    The first frame counts. The image is turned as its EXIF data say, and laid on ``background``
    where it is transparent. Of 16 bits a channel the upper 8 are read.

    Returns:
        The pixels, and which of ``NOTES`` hold.

    Raises:
        Exception: of any type, since a damaged file can raise anything.
        ValueError: the mode has no plain meaning in 8 bits, or the image has too many pixels.
    """
    # The list keeps a file of a refused format out whatever its name ends in.
    with Image.open(path, formats=_formats()) as file:
        _check_pixels(file.width, file.height, size)
        notes = ["later_frames"] if getattr(file, "is_animated", False) else []
        stored = [str(tile.args) for tile in file.tile]  # how Pillow is told that the pixels lie
        # BGR;16 has 16 bits for all channels together.
        if file.mode in GREY_16 or any(re.search("(?<!BGR);16", form) for form in stored):
            _check_deep(file)
            notes.append("lower_bits")
        elif file.mode not in MODES:
            raise ValueError(f"mode {file.mode}, which is not of 8 bits a channel")
        if stored and stored[0] in GREY_STEPS and "transparency" in file.info:
            file.info["transparency"] *= GREY_STEPS[stored[0]]
        file.load()
        image, is_known = _upright(file)
        notes += [] if is_known else ["exif"]
        image = _opaque(_eight_bits(image), background)
    if image.size != (size, size):
        image = center_crop(resize(image, [size]), [size, size])
    return np.asarray(image).transpose(2, 0, 1), notes


def _check_pixels(width: int, height: int, size: int) -> None:
    """Refuse an image of too many pixels, as it is stored or as it is resized before it is cut."""
    most = Image.MAX_IMAGE_PIXELS
    resized = size * size * max(width, height) // max(1, min(width, height))
    # At a size that is large itself, a picture four times as long as wide is not too long.
    if most is not None and (width * height > most or resized > max(most, 4 * size * size)):
        raise ValueError(f"{width} x {height} pixels, of which at most {most} are decoded or made")


def _check_deep(file: Image.Image) -> None:
    """Refuse files of 16 bits a channel that mean anything but light from 0 to 65535."""
    if "transparency" in file.info:
        raise ValueError("16 bits a channel and a transparent colour")
    if file.mode not in GREY_16:
        return
    tags = getattr(file, "tag_v2", {})  # of TIFF: bits a sample, and 1 where 0 is black
    if file.format not in FORMATS_16 or tags.get(258, (16,)) != (16,) or tags.get(262, 1) != 1:
        raise ValueError(f"grey of more than 8 bits, mode {file.mode}")


def _upright(file: Image.Image) -> tuple[Image.Image, bool]:
    """The image turned as its EXIF data say, and whether these can be read."""
    try:
        orientation = file.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # EXIF data are a file of their own, and their damage not the image's
        return file, False
    return (file if orientation == 1 else ImageOps.exif_transpose(file)), True


def _eight_bits(image: Image.Image) -> Image.Image:
    """Of 16-bit grey the upper 8 bits, as Pillow does for 16-bit colours."""
    if image.mode not in GREY_16:
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _opaque(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """The image in RGB, laid on the background where it is transparent."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    below = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(below, image.convert("RGBA")).convert("RGB")


def decode_all(
    paths: Sequence[Path], size: int, background: tuple[int, int, int] = WHITE
) -> tuple[UInt8[Tensor, "n 3 size size"], Counter[str]]:
    """Decode files on a few threads, straight into one tensor; see :func:`decode`.

    Returns:
        The images, and how many of them each of ``NOTES`` is true of.

    Raises:
        InputError: some cannot be read; says how many and names the first five.
    """
    output = np.empty((len(paths), 3, size, size), dtype=np.uint8)

    def decode_some(start: int) -> tuple[Counter[str], list[str]]:
        notes, failures = Counter[str](), []
        for place in range(start, min(start + FILES_PER_TASK, len(paths))):
            try:
                output[place], found = decode(paths[place], size, background)
                notes.update(found)
            except Exception as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                failures.append(f"{paths[place]} ({reason})")
        return notes, failures

    # Pillow lets other threads run while it decodes. It warns of an image that is too large to be
    # meant, and then decodes it.
    with (
        warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
        ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as threads,
    ):
        try:
            done = list(threads.map(decode_some, range(0, len(paths), FILES_PER_TASK)))
        except BaseException:  # Ctrl-C ends the waiting too
            threads.shutdown(cancel_futures=True)
            raise
    failures = [failure for _, some in done for failure in some]
    if failures:
        more = len(failures) - NAMED
        raise InputError(
            f"{len(failures)} of {len(paths)} files cannot be read as an image, replace them by "
            f"8-bit PNGs or the like, or remove them: {'; '.join(failures[:NAMED])}"
            f"{f'; and {more} more' if more > 0 else ''}"
        )
    return torch.from_numpy(output), sum((notes for notes, _ in done), Counter[str]())
