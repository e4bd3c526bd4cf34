"""The data module for image folders, on small images that each have their own colour."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from labelnoise.data import images as images_module
from labelnoise.data import memory
from labelnoise.data.image_folder import ImageFolderDataModule
from labelnoise.errors import InputError
from labelnoise.noise import CleanSplit, InstanceDependentNoise, NoNoise, SymmetricNoise
from tests.conftest import present
from tests.folders import CLASSES, TEST_EACH, colour, make, one_line


def test_splits_keep_images_labels_and_files_together(root: Path) -> None:
    data = make(root, SymmetricNoise(rate=0.2, seed=0), val_fraction=0.2)
    assert data.class_names == list(CLASSES)
    assert data.num_classes == 3
    assert data.input_shape == (3, 8, 8)
    assert (len(data.train), len(present(data.val)), len(present(data.test))) == (24, 6, 12)
    assert len(data.files) == 30
    for part, splits, files in (
        ("train", (data.train, present(data.val)), data.files),
        ("test", (present(data.test),), data.test_files),
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
    assert present(data.test).is_noisy.sum() == 2


def test_images_are_normalised_by_the_numbers_given(root: Path) -> None:
    data = make(root, mean=[0.0, 0.0, 0.0], std=[1.0, 0.5, 0.25], val_fraction=0)
    scaled = data.train.input[:].double() / 255 * torch.tensor([1, 2, 4]).view(3, 1, 1)
    torch.testing.assert_close(data.train.batch().input.double(), scaled, atol=1e-6, rtol=0)


def test_augmentation_shifts_by_an_eighth(root: Path) -> None:
    data = make(root, augment=True, image_size=16, val_fraction=0)
    loader = data.train_dataloader()
    assert loader.augment is not None
    white = torch.full((200, 3, 16, 16), 255, dtype=torch.uint8)
    moved = loader.augment(white, generator=torch.Generator().manual_seed(0))
    assert set((moved[:, 0, 8] == 0).sum(1).tolist()) == {0, 1, 2}


def test_test_images_may_lack_a_class(root: Path) -> None:
    for file in (root / "test" / "cat").iterdir():
        file.unlink()
    (root / "test" / "cat").rmdir()
    assert present(make(root).test).label.tolist() == [1] * TEST_EACH + [2] * TEST_EACH


def test_image_size_is_at_least_one() -> None:
    with pytest.raises(InputError, match="data.image_size must be a whole number of at least 1"):
        ImageFolderDataModule(NoNoise(), root="nowhere", image_size=0)


# Classes without samples


def test_a_class_that_test_lacks_is_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for file in (root / "test" / "cat").iterdir():
        file.unlink()
    (root / "test" / "cat").rmdir()
    with caplog.at_level(logging.WARNING, "labelnoise"):
        make(root, val_fraction=0)
    assert caplog.messages == ["classes without a test sample: cat (1 of 3)"]


def test_a_class_that_no_given_label_names_is_named(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [f"{c}/{k}.png,{c if c != 'eel' else 'dog'}" for c in CLASSES for k in range(10)]
    (root / "labels.csv").write_text("\n".join(["file,label", *lines]))
    with caplog.at_level(logging.WARNING, "labelnoise"):
        make(root, labels=root / "labels.csv", val_fraction=0.5)
    assert caplog.messages == [
        "classes without a training sample: eel (1 of 3)",
        "classes without a validation sample: eel (1 of 3)",
    ]


# Memory


def test_images_that_do_not_fit_are_refused_before_any_is_decoded(root: Path) -> None:
    for file in (root / "train" / "cat").iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(InputError, match="30 training and 12 test images") as error:
        make(root, image_size=1_000_000, val_fraction=0, cache="memory")
    message = one_line(error)
    assert "30 training and 12 test images of 3 x 1000000 x 1000000 bytes take 126 TB" in message
    assert message.endswith(
        "write a smaller data.image_size, data.per_class or data.test_per_class, or data.cache=disk"
    )


@pytest.mark.parametrize(
    ("options", "copies"),
    [({}, 30 + 12), ({"batch_size": None}, 5 * 30 + 12), ({"per_class": 2}, 18)],
)
def test_the_estimate_counts_every_copy(
    root: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], copies: int
) -> None:
    size = copies * 3 * 8 * 8
    monkeypatch.setattr(memory, "available_memory", lambda: size)
    make(root, **options)
    monkeypatch.setattr(memory, "available_memory", lambda: size - 1)
    with pytest.raises(InputError, match="of memory but"):
        make(root, **options)


def test_every_process_has_its_own_images(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "world_size", lambda: 4)
    monkeypatch.setattr(memory, "available_memory", lambda: 4 * 42 * 192 - 1)
    with pytest.raises(InputError, match="of memory but"):
        make(root)


def test_noise_by_features_sees_the_images_as_they_are_trained_on(root: Path) -> None:
    noise = InstanceDependentNoise(rate=0.4, seed=0)
    data = make(root, noise, val_fraction=0)
    told: dict[str, Any] = {"features": data.train.batch().input, "class_names": CLASSES}
    expected = noise.draw(CleanSplit(data.train.clean_label, 3, **told))
    assert data.noise_record.is_noisy.any()
    assert torch.equal(data.noise_record.label, expected.label)
