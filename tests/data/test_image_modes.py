"""Every mode and every form of transparency, against pixels that are known."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from labelnoise.data.decoding import decode_all
from labelnoise.data.image_files import colour_of
from labelnoise.errors import InputError
from tests.folders import make, needs, one_line, pixel

RED, BLUE = (250, 10, 20), (0, 0, 255)


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("RGB", RED, RED),
        ("CMYK", (255, 0, 0, 0), (0, 255, 255)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("YCbCr", (128, 128, 128), (128, 128, 128)),
    ],
)
def test_a_mode_is_read_as_it_is_meant(
    tmp_path: Path, mode: str, value: int | tuple[int, ...], expected: tuple[int, int, int]
) -> None:
    Image.new(mode, (2, 2), value).save(tmp_path / "a.tif")
    assert pixel(tmp_path / "a.tif") == expected


@pytest.mark.parametrize("ending", ["png", "tif", needs("jpg_2000", "jp2")])
@pytest.mark.parametrize("value", [0, 255, 300, 30000, 65535])
def test_16_bit_grey_is_scaled_not_cut_off_at_255(tmp_path: Path, ending: str, value: int) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(np.full((2, 2), value, dtype=np.uint16)).save(path)
    assert pixel(path) == (value // 256,) * 3
    assert decode_all([path], 2)[1] == Counter(lower_bits=1)


def png(depth: int, kind: int, row: bytes, transparent: bytes | None = None) -> bytes:
    """A PNG of 2 x 2 pixels, from the specification: ``kind`` 0 is grey, 2 RGB, 6 RGBA."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    header = struct.pack(">IIBBBBB", 2, 2, depth, kind, 0, 0, 0)
    chunks = [chunk(b"IHDR", header)]
    chunks += [] if transparent is None else [chunk(b"tRNS", transparent)]
    chunks += [chunk(b"IDAT", zlib.compress(2 * (b"\0" + row))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(("kind", "values"), [(2, (65535, 32768, 255)), (6, (65535, 32768, 255))])
def test_16_bit_colours_are_scaled_and_said(
    tmp_path: Path, kind: int, values: tuple[int, int, int]
) -> None:
    alpha = (65535,) if kind == 6 else ()
    row = struct.pack(f">{2 * (3 + len(alpha))}H", *(2 * (*values, *alpha)))
    (tmp_path / "a.png").write_bytes(png(16, kind, row))
    assert pixel(tmp_path / "a.png") == (255, 128, 0)
    assert decode_all([tmp_path / "a.png"], 2)[1] == Counter(lower_bits=1)


def float_tiff(path: Path) -> None:
    Image.fromarray(np.full((2, 2), 0.5, dtype=np.float32)).save(path)


def int_tiff(path: Path) -> None:
    Image.fromarray(np.full((2, 2), 40000, dtype=np.int32)).save(path)


def white_is_zero(path: Path) -> None:
    Image.fromarray(np.full((2, 2), 40000, dtype=np.uint16)).save(path, tiffinfo={262: 0})


def transparent_16_bit_grey(path: Path) -> None:
    path.write_bytes(png(16, 0, struct.pack(">2H", 1, 1), struct.pack(">H", 1)))


def transparent_16_bit_colour(path: Path) -> None:
    path.write_bytes(png(16, 2, struct.pack(">6H", *(2 * [1, 2, 3])), struct.pack(">3H", 1, 2, 3)))


@pytest.mark.parametrize(
    "write",
    [float_tiff, int_tiff, white_is_zero, transparent_16_bit_grey, transparent_16_bit_colour],
)
def test_values_that_mean_no_8_bit_colour_are_refused(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    write(tmp_path / "a.tif")
    with pytest.raises(InputError, match="cannot be read as an image") as error:
        decode_all([tmp_path / "a.tif"], 2)
    assert "bits" in one_line(error)


# Transparency


def palette() -> Image.Image:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, *RED])
    return image


@pytest.mark.parametrize(
    ("image", "name", "options"),
    [
        (Image.new("RGBA", (2, 2), (*RED, 0)), "a.png", {}),
        (Image.new("RGBA", (2, 2), (*RED, 0)), "a.webp", {"lossless": True, "exact": True}),
        (Image.new("RGBA", (2, 2), (*RED, 0)), "a.tif", {}),
        (Image.new("RGBA", (2, 2), (*RED, 0)), "a.tga", {}),
        (Image.new("RGBA", (2, 2), (*RED, 0)).convert("PA"), "a.tif", {}),
        (Image.new("LA", (2, 2), (77, 0)), "a.png", {}),
        (palette(), "a.png", {"transparency": 1}),
        (palette(), "a.png", {"transparency": bytes([255, 0])}),
        (palette(), "a.gif", {"transparency": 1}),
        (Image.new("RGB", (2, 2), RED), "a.png", {"transparency": RED}),
        (Image.new("L", (2, 2), 77), "a.png", {"transparency": 77}),
        (Image.new("1", (2, 2), 1), "a.png", {"transparency": 1}),
    ],
)
@pytest.mark.parametrize("background", [(255, 255, 255), (1, 2, 3)])
def test_behind_a_transparent_image_is_the_background(
    tmp_path: Path,
    image: Image.Image,
    name: str,
    options: dict[str, Any],
    background: tuple[int, int, int],
) -> None:
    image.save(tmp_path / name, **options)
    assert pixel(tmp_path / name, background) == background


@pytest.mark.parametrize(("depth", "row", "value"), [(2, 0b01010000, 1), (4, 0x33, 3)])
def test_the_transparent_grey_of_few_bits_is_on_their_scale(
    tmp_path: Path, depth: int, row: int, value: int
) -> None:
    (tmp_path / "a.png").write_bytes(png(depth, 0, bytes([row]), struct.pack(">H", value)))
    assert pixel(tmp_path / "a.png", BLUE) == BLUE
    (tmp_path / "b.png").write_bytes(png(depth, 0, bytes([row]), struct.pack(">H", value + 1)))
    grey = value * 255 // (2**depth - 1)
    assert pixel(tmp_path / "b.png", BLUE) == (grey,) * 3


def test_half_transparent_colours_are_mixed(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (200, 100, 0, 51)).save(tmp_path / "a.png")
    assert pixel(tmp_path / "a.png", (0, 0, 100)) == (40, 20, 80)
    image = palette()
    image.save(tmp_path / "b.png", transparency=bytes([255, 51]))
    assert pixel(tmp_path / "b.png", (0, 0, 100)) == (50, 2, 84)


def test_a_transparent_class_is_not_told_by_its_invisible_colour(root: Path) -> None:
    """Before, the accuracy was 1.0 on images without visible content."""
    for number in range(10):
        Image.new("RGBA", (8, 8), (*RED, 0)).save(root / "train" / "cat" / f"{number}.png")
        Image.new("RGBA", (8, 8), (*BLUE, 0)).save(root / "train" / "dog" / f"{number}.png")
    data = make(root, val_fraction=0, background="black")
    assert (data.train.input[:20] == 0).all()


@pytest.mark.parametrize(
    ("background", "colour"),
    [("white", (255, 255, 255)), ("#ff0080", (255, 0, 128)), ([1, 2, 3], (1, 2, 3))],
)
def test_a_background_is_a_name_or_three_numbers(
    background: str | list[int], colour: tuple[int, int, int]
) -> None:
    assert colour_of(background) == colour


@pytest.mark.parametrize(
    "background",
    ["no colour", "#11223344", [1, 2], [1, 2, 256], [0.5, 0, 0], [True, 0, 0], 5, None],
)
def test_another_background_is_refused_at_once(background: object) -> None:
    with pytest.raises(InputError, match=r"data.background is .*\[255,255,255\]") as error:
        make(Path("nowhere"), background=background)
    one_line(error)
