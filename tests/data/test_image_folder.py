"""Folders of small images written on the spot, each of a colour of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from labelnoise.data.image_files import decode, decode_all, list_images, read_given_labels
from labelnoise.data.image_folder import ImageFolderDataModule
from labelnoise.errors import InputError
from labelnoise.noise import NoNoise, SymmetricNoise

CLASSES = ("cat", "dog", "eel")
TRAIN_EACH, TEST_EACH = 10, 4


def colour(part: str, name: str, number: int) -> tuple[int, int, int]:
    return (CLASSES.index(name) * 50, number * 20, 200 if part == "train" else 100)


def write_image(path: Path, rgb: tuple[int, int, int], size=(12, 12), mode="RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, rgb).convert(mode).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, each in (("train", TRAIN_EACH), ("test", TEST_EACH)):
        for name in CLASSES:
            for number in range(each):
                path = tmp_path / part / name / f"{number}.png"
                write_image(path, colour(part, name, number))
    return tmp_path


def make(root: Path, noise=None, **options) -> ImageFolderDataModule:
    options = {"image_size": 8, **options}
    data = ImageFolderDataModule(noise or NoNoise(), root=root, **options)
    data.setup("fit")
    return data


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# Decoding


@pytest.mark.parametrize("size", [(8, 8), (20, 31), (31, 20), (5, 9), (64, 64)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1", "LA"])
def test_decode_is_torchvisions_resize_and_center_crop(tmp_path, size, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    Image.fromarray(pixels).convert(mode).save(path)
    reference = transforms.Compose(
        [transforms.Resize(8), transforms.CenterCrop(8), transforms.PILToTensor()]
    )
    expected = reference(Image.open(path).convert("RGB"))
    assert torch.equal(torch.from_numpy(decode(path, 8).copy()), expected)


def test_many_files_are_decoded_in_their_order(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(150)]
    for number, path in enumerate(paths):
        write_image(path, (number, 0, 255 - number), size=(3, 3))
    images = decode_all(paths, 3)
    assert images.dtype == torch.uint8
    assert images[:, 0, 1, 1].tolist() == list(range(150))
    assert images[:, 2, 2, 0].tolist() == list(range(255, 105, -1))


def spoil(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def no_image(path: Path) -> None:
    path.write_bytes(b"no image")


def postscript(path: Path) -> None:
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nquit\n")


def sixteen_bits(path: Path) -> None:
    Image.fromarray(np.full((9, 9), 40000, dtype=np.uint16)).save(path)


@pytest.mark.parametrize("damage", [spoil, no_image, postscript, sixteen_bits])
def test_an_image_that_cannot_be_read_is_named(root, damage):
    path = root / "train" / "dog" / "7.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)).save(path)
    damage(path)
    with pytest.raises(InputError, match="cannot be read as an image") as error:
        make(root)
    assert str(path) in one_line(error)


def test_postscript_is_never_opened(root, monkeypatch):
    Image.init()
    _, accept = Image.OPEN["EPS"]
    monkeypatch.setitem(Image.OPEN, "EPS", (lambda *_: pytest.fail("opened"), accept))
    postscript(root / "train" / "dog" / "0.eps")
    assert "dog/0.eps" not in list_images(root / "train")[1]
    postscript(root / "train" / "dog" / "0.png")
    with pytest.raises(InputError, match="cannot be read as an image"):
        decode(root / "train" / "dog" / "0.png", 8)


# What setup leaves


def test_splits_keep_images_labels_and_files_together(root):
    data = make(root, SymmetricNoise(rate=0.2, seed=0), val_fraction=0.2)
    assert data.class_names == list(CLASSES)
    assert data.num_classes == 3
    assert data.input_shape == (3, 8, 8)
    assert (len(data.train), len(data.val), len(data.test)) == (24, 6, 12)
    assert len(data.files) == 30
    for part, splits, files in (
        ("train", (data.train, data.val), data.files),
        ("test", (data.test,), data.test_files),
    ):
        for split in splits:
            for image, clean, source in zip(
                split.input, split.clean_label, split.source_index, strict=True
            ):
                file = files[int(source)]
                assert (root / file).is_file()
                _, name, number = file.removesuffix(".png").split("/")
                assert image[:, 4, 4].tolist() == list(colour(part, name, int(number)))
                assert CLASSES[clean] == name
    assert data.noise_record.is_noisy.sum() == 6
    assert torch.equal(data.train.label, data.noise_record.label[data.train.source_index])
    assert data.test.is_noisy.sum() == 2


def test_images_are_normalised_by_the_numbers_given(root):
    data = make(root, mean=[0.0, 0.0, 0.0], std=[1.0, 0.5, 0.25], val_fraction=0)
    scaled = data.train.input.double() / 255 * torch.tensor([1, 2, 4]).view(3, 1, 1)
    torch.testing.assert_close(data.train.batch().input.double(), scaled, atol=1e-6, rtol=0)


def test_augmentation_shifts_by_an_eighth(root):
    data = make(root, augment=True, image_size=16, val_fraction=0)
    loader = data.train_dataloader()
    assert loader.augment is not None
    white = torch.full((200, 3, 16, 16), 255, dtype=torch.uint8)
    moved = loader.augment(white, generator=torch.Generator().manual_seed(0))
    assert set((moved[:, 0, 8] == 0).sum(1).tolist()) == {0, 1, 2}


def test_other_files_are_passed_over(root):
    (root / "train" / "notes.txt").write_text("not a class")
    (root / "train" / "cat" / "notes.txt").write_text("not an image")
    (root / "train" / "cat" / ".hidden.png").write_bytes(b"")
    (root / "train" / ".cache").mkdir()
    write_image(root / "train" / "cat" / "photo.JPEG", (1, 2, 3))
    names, files, label = list_images(root / "train")
    assert names == list(CLASSES)
    assert files[:11] == [*(f"cat/{k}.png" for k in range(10)), "cat/photo.JPEG"]
    assert label.bincount().tolist() == [11, 10, 10]


def test_test_images_may_lack_a_class(root):
    for file in (root / "test" / "cat").iterdir():
        file.unlink()
    (root / "test" / "cat").rmdir()
    assert make(root).test.clean_label.tolist() == [1] * TEST_EACH + [2] * TEST_EACH


def empty_class(root: Path) -> str:
    (root / "train" / "ant").mkdir()
    return "ant has no images"


def one_class(root: Path) -> str:
    for part in ("train", "test"):
        for name in ("dog", "eel"):
            (root / part / name).rename(root / f"{part}-{name}")
    return "has one class, 'cat'"


def class_in_test_alone(root: Path) -> str:
    write_image(root / "test" / "fox" / "0.png", (0, 0, 0))
    return "1 of 4 classes that the training images lack, the first is 'fox'"


def no_test(root: Path) -> str:
    (root / "test").rename(root / "elsewhere")
    return "there is no folder .*test"


def no_classes(root: Path) -> str:
    (root / "train").rename(root / "elsewhere")
    (root / "train").mkdir()
    return "train has no class folders"


@pytest.mark.parametrize(
    "change", [empty_class, one_class, class_in_test_alone, no_test, no_classes]
)
def test_folders_that_cannot_be_used(root, change):
    reason = change(root)
    with pytest.raises(InputError, match=reason) as error:
        make(root)
    one_line(error)


def test_image_size_is_at_least_one():
    with pytest.raises(InputError, match="data.image_size is 0"):
        ImageFolderDataModule(NoNoise(), root="nowhere", image_size=0)


# Given labels


def given(name: str, number: int) -> str:
    """Every fifth image is called the class after its own."""
    return CLASSES[(CLASSES.index(name) + (number % 5 == 0)) % 3]


def rows() -> list[str]:
    return [f"{c}/{k}.png,{given(c, k)}" for c in CLASSES for k in range(TRAIN_EACH)]


def write_csv(root: Path, lines: list[str], header: str = "file,label") -> Path:
    path = root / "labels.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


@pytest.mark.parametrize("options", [{}, {"per_class": 6}])
def test_a_csv_gives_the_observed_labels_and_folders_the_true_ones(root, options):
    path = write_csv(root, rows()[::-1])
    data = make(root, labels=path, val_fraction=0.2, **options)
    record = data.noise_record
    assert (record.kind, record.seed, record.rate_requested) == ("csv", None, None)
    assert record.matrix_requested is None
    for split in (data.train, data.val):
        for label, clean, source in zip(
            split.label, split.clean_label, split.source_index, strict=True
        ):
            _, name, number = data.files[int(source)].removesuffix(".png").split("/")
            assert CLASSES[label] == given(name, int(number))
            assert CLASSES[clean] == name
    assert len(record.label) == 3 * options.get("per_class", TRAIN_EACH)
    assert not data.test.is_noisy.any()
    if not options:
        assert record.rate_realised == 0.2


@pytest.mark.parametrize("form", ["numbers", "root", "extra", "spaces", "bom"])
def test_a_csv_may_be_written_in_other_ways(root, form):
    lines, header = rows(), "file,label"
    if form == "numbers":
        lines = [f"{file},{CLASSES.index(c)}" for file, c in (row.split(",") for row in lines)]
    elif form == "root":
        lines = [f"train/{row}" for row in lines]
    elif form == "extra":
        lines, header = [f"x,{row},y" for row in lines], "who,file,label,when"
    elif form == "spaces":
        lines, header = [row.replace(",", " , ") for row in lines] + [""], "file, label"
    elif form == "bom":
        header = "\ufeff" + header
    files = [f"{c}/{k}.png" for c in CLASSES for k in range(TRAIN_EACH)]
    label = read_given_labels(write_csv(root, lines, header), files, CLASSES)
    assert [CLASSES[k] for k in label] == [given(c, k) for c in CLASSES for k in range(TRAIN_EACH)]


def test_a_class_whose_name_is_a_number_goes_by_its_name(root):
    path = write_csv(root, ["a,1", "b,2", "c,0"])
    assert read_given_labels(path, ["a", "b", "c"], ["1", "2", "7"]).tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r[2:], "2 training images without a row, the first is 'cat/0.png'"),
        (lambda r: [*r, r[4], r[4]], "2 files in more than one row, the first is 'cat/4.png'"),
        (lambda r: [*r, f"train/{r[4]}"], "1 files in more than one row, the first is 'train/cat"),
        (lambda r: [*r, "ant/0.png,cat"], "1 files .* no training image, the first is 'ant/0.png'"),
        (lambda r: [*r[1:], "cat/0.png,ant"], "cat, dog, eel, the first is 'ant' for 'cat/0.png'"),
        (lambda r: [*r[1:], "cat/0.png,3"], "the first is '3' for 'cat/0.png'"),
        (lambda r: [*r[1:], "cat/0.png"], "the first is '' for 'cat/0.png'"),
        (lambda r: [], "30 training images without a row"),
    ],
)
def test_a_csv_that_does_not_fit_the_images(root, change, reason):
    path = write_csv(root, change(rows()))
    with pytest.raises(InputError, match=reason) as error:
        make(root, labels=path)
    assert str(path) in one_line(error)


def test_a_csv_without_a_header(root):
    path = write_csv(root, rows()[1:], header=rows()[0])
    with pytest.raises(InputError, match="begins with 'cat/0.png,dog'.*file,label") as error:
        make(root, labels=path)
    one_line(error)


@pytest.mark.parametrize("content", [None, b"", b"file,label\n\xff\xfe,cat\n"])
def test_a_csv_that_cannot_be_read(root, content):
    path = root / "labels.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="labels.csv") as error:
        make(root, labels=path)
    one_line(error)


def test_noise_on_top_of_given_labels_is_refused_at_once(root):
    with pytest.raises(InputError, match="noise=symmetric would flip them again") as error:
        ImageFolderDataModule(SymmetricNoise(rate=0.2), root=root, labels="labels.csv")
    assert "noise=none" in one_line(error)
