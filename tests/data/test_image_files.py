"""Decoding files: resized, turned, the first of many, damaged or too large."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torchvision import transforms

from labelnoise.data.class_folders import list_images
from labelnoise.data.decoding import decode_all
from labelnoise.data.image_files import decode
from labelnoise.errors import InputError
from labelnoise.files.tables import read_rows
from tests.conftest import Run, present
from tests.folders import make, needs, one_line, pixel, write_image

RED, BLUE = (250, 10, 20), (0, 0, 255)


@pytest.mark.parametrize("size", [(8, 8), (20, 31), (31, 20), (5, 9), (64, 64)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1", "LA"])
def test_decode_is_torchvisions_resize_and_center_crop(
    tmp_path: Path, size: tuple[int, int], mode: str
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    Image.fromarray(pixels).convert(mode).save(path)
    reference = transforms.Compose(
        [transforms.Resize(8), transforms.CenterCrop(8), transforms.PILToTensor()]
    )
    expected = reference(Image.open(path).convert("RGB"))
    decoded, notes = decode(path, 8)
    assert torch.equal(torch.from_numpy(decoded.copy()), expected)
    assert notes == []


def test_many_files_are_decoded_in_their_order(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(150)]
    for number, path in enumerate(paths):
        write_image(path, (number, 0, 255 - number), size=(3, 3))
    images, notes = decode_all(paths, 3)
    assert images.dtype == torch.uint8
    assert images[:, 0, 1, 1].tolist() == list(range(150))
    assert images[:, 2, 2, 0].tolist() == list(range(255, 105, -1))
    assert not notes


# EXIF


def stored_for(orientation: int, upright: np.ndarray) -> np.ndarray:
    """How a camera stores a picture; from the table of the EXIF standard, 4.6.4 A.

    It says where row 0 and column 0 of what is stored lie in what is seen.
    """
    if orientation >= 5:  # row 0 is a side
        upright = upright.transpose(1, 0, 2)
    flip_rows = orientation in (3, 4, 6, 7)
    flip_columns = orientation in (2, 3, 7, 8)
    return upright[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def corners() -> np.ndarray:
    """Four blocks of one grey each, so that every turn shows, and lossy formats keep them."""
    return np.kron(np.array([[0, 80], [160, 240]], dtype=np.uint8), np.ones((8, 8), np.uint8))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", needs("avif", "a.avif")])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(tmp_path: Path, name: str, orientation: int) -> None:
    upright = np.repeat(corners()[:, :, None], 3, axis=2)
    image = Image.fromarray(np.ascontiguousarray(stored_for(orientation, upright)))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options: dict[str, Any] = {} if name in ("a.png", "a.tif") else {"quality": 95}
    image.save(tmp_path / name, exif=exif, **options)
    decoded, _ = decode_all([tmp_path / name], 16)
    assert (decoded[0, 0].int() - torch.from_numpy(corners()).int()).abs().max() <= 8


def test_transparent_images_are_turned_too(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0] = 255  # the upper row is white, the lower one transparent
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    for image in (Image.fromarray(pixels), Image.fromarray(pixels).convert("LA")):
        image.save(tmp_path / "a.png", exif=exif)
        decoded, _ = decode_all([tmp_path / "a.png"], 2, BLUE)
        assert decoded[0, :, 0, 0].tolist() == list(BLUE)
        assert decoded[0, :, 1, 1].tolist() == [255, 255, 255]


def test_exif_data_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), RED).save(tmp_path / "a.png", exif=b"Exif\0\0no TIFF at all")
    decoded, notes = decode_all([tmp_path / "a.png"], 2)
    assert tuple(decoded[0, :, 0, 0].tolist()) == RED
    assert notes == Counter(exif=1)


# Frames, damage, size


@pytest.mark.parametrize("ending", ["gif", "webp", "tif", "png"])
def test_the_first_of_several_frames_is_read_and_said(tmp_path: Path, ending: str) -> None:
    frames = [Image.new("RGB", (2, 2), value) for value in (BLUE, RED)]
    options: dict[str, Any] = {"lossless": True} if ending == "webp" else {}
    path = tmp_path / f"a.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    assert pixel(path) == BLUE
    assert decode_all([path], 2)[1] == Counter(later_frames=1)


def spoil(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def no_image(path: Path) -> None:
    path.write_bytes(b"no image")


def postscript(path: Path) -> None:
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nquit\n")


@pytest.mark.parametrize("damage", [spoil, no_image, postscript])
def test_an_image_that_cannot_be_read_is_named(root: Path, damage: Callable[[Path], None]) -> None:
    path = root / "train" / "dog" / "7.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)).save(path)
    damage(path)
    with pytest.raises(InputError, match="cannot be read as an image") as error:
        make(root)
    assert str(path) in one_line(error)


def test_all_damaged_files_are_named_in_one_answer(root: Path) -> None:
    damaged = [root / "train" / "cat" / f"{k}.png" for k in range(4)]
    damaged += [root / "test" / "eel" / f"{k}.png" for k in range(3)]
    for path in damaged:
        no_image(path)
    with pytest.raises(InputError, match="7 of 42 files .*data.unreadable=skip") as error:
        make(root, val_fraction=0)
    message = one_line(error)
    assert all(message.count(str(path)) == 1 for path in damaged)


def test_damaged_files_can_be_left_out(root: Path, run_images: Run, tmp_path: Path) -> None:
    damaged = [root / "train" / "cat" / f"{k}.png" for k in range(4)]
    damaged.append(root / "test" / "eel" / "0.png")
    expected = make(root, val_fraction=0)
    for path in damaged:
        no_image(path)
    data = make(root, val_fraction=0, unreadable="skip")
    for name in ("train", "test"):
        ours, theirs = present(getattr(data, name)), present(getattr(expected, name))
        files = (expected.files, expected.test_files)[name == "test"]
        kept = torch.tensor([root / file not in damaged for file in files])
        assert torch.equal(ours.input, theirs.input[kept])
        assert torch.equal(ours.label, theirs.label[kept])
    assert data.left_out == {"unreadable": 5}
    words = (f"data.root={root}", "max_epochs=1", "monitor=none", "data.unreadable=skip")
    assert run_images(*words)["data_left_out"] == {"unreadable": 5}
    rows = read_rows(tmp_path / "run" / "unreadable.csv")
    assert [root / row["file"] for row in rows] == damaged
    assert {row["reason"] for row in rows} == {"cannot identify image file"}
    for k in range(4, 10):
        no_image(root / "train" / "cat" / f"{k}.png")
    with pytest.raises(InputError, match="none of the images of class cat can be read") as error:
        make(root, unreadable="skip")
    one_line(error)


# Channels


def test_grey_images_stay_grey_unless_any_has_colours(root: Path) -> None:
    for file in root.rglob("*.png"):
        Image.open(file).convert("LA" if file.stem == "0" else "L").save(file)
    data = make(root, val_fraction=0)
    assert data.input_shape == (1, 8, 8)
    as_colour = make(root, val_fraction=0, channels=3)
    assert torch.equal(as_colour.train.input[:], data.train.input[:].expand(-1, 3, -1, -1))
    scaled = (data.train.input[:].double() / 255 - 0.449) / 0.226
    torch.testing.assert_close(data.train.batch().input.double(), scaled, atol=1e-6, rtol=0)
    # A background with a colour is seen through transparent pixels.
    assert make(root, background="red").input_shape == (3, 8, 8)
    write_image(root / "test" / "cat" / "1.png", RED)
    colours = make(root, val_fraction=0)
    assert colours.input_shape == (3, 8, 8)
    assert torch.equal(colours.train.input[:], as_colour.train.input[:])
    grey = make(root, val_fraction=0, channels=1, mean=[0.5], std=[0.5])
    assert torch.equal(grey.train.input[:], data.train.input[:])
    assert torch.equal(present(grey.test).input[:][1, 0], torch.full((8, 8), 83).byte())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"channels": 2}, "data.channels must be one of 1, 3, got 2"),
        ({"mean": [0.5, 0.5]}, "data.mean has 2 numbers for images of 1 or 3 channels"),
        ({"mean": [0.5], "std": [0.1]}, "data.mean has 1 numbers for images of 3 channels"),
        ({"mean": [0.5]}, "data.mean has 1 numbers for images of 3 channels"),
        ({"mean": [0.5], "std": [1, 1, 1]}, "data.std has 3 numbers for images of 1 channels"),
        ({"channels": 1, "mean": [0.1, 0.2, 0.3]}, "data.mean has 3 numbers for images of 1 chan"),
    ],
)
def test_normalization_must_have_a_number_for_each_channel(
    root: Path, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason) as error:
        make(root, **options)
    one_line(error)


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_an_image_of_too_many_pixels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """Pillow warns of more than its limit and raises an error above twice the limit alone."""
    write_image(tmp_path / "a.png", size=(20, 20))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(share * 400))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match="a.png") as error:
            decode_all([tmp_path / "a.png"], 2)
    assert "20 x 20 pixels" in one_line(error) or "400 pixels" in one_line(error)


def test_a_strip_that_would_be_resized_to_too_many_pixels_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", size=(20_000, 1))
    with pytest.raises(InputError, match="20000 x 1 pixels") as error:
        decode_all([tmp_path / "a.png"], 100)
    one_line(error)


def test_postscript_is_never_opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    _, accept = Image.OPEN["EPS"]
    monkeypatch.setitem(Image.OPEN, "EPS", (lambda *_: pytest.fail("opened"), accept))
    postscript(root / "train" / "dog" / "0.eps")
    listing = list_images(root / "train")
    assert "dog/0.eps" not in listing.files
    assert listing.endings == Counter({".eps": 1})
    postscript(root / "train" / "dog" / "0.png")
    with pytest.raises(InputError, match="cannot be read as an image"):
        decode_all([root / "train" / "dog" / "0.png"], 8)
