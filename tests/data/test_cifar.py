"""CIFAR from small files in the published format; the pixels of an image encode its number."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
import urllib.error
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torchvision import datasets

from labelnoise.data import cifar_files
from labelnoise.data.batch import Batch
from labelnoise.data.cifar import (
    CIFAR10DataModule,
    CIFAR10PairDataModule,
    CIFAR100DataModule,
    CIFARDataModule,
)
from labelnoise.data.cifar_files import (
    PUBLISHED_CIFAR10,
    PUBLISHED_CIFAR100,
    Published,
    fetch,
    read_batch,
)
from labelnoise.data.loaders import TensorLoader
from labelnoise.errors import InputError
from labelnoise.noise import (
    AsymmetricNoise,
    CleanSplit,
    FileNoise,
    HumanNoise,
    HumanTwinNoise,
    LabelNoise,
    NoiseRecord,
    NoNoise,
    SymmetricNoise,
)
from labelnoise.report.pictures.run import title
from tests.conftest import present

ROWS = 24  # images in each of the six files
TRAIN = [f"data_batch_{k}" for k in range(1, 6)]


def fake_rows(first: int, rows: int) -> np.ndarray:
    """Random pixels; the first two bytes of an image tell its place."""
    data = np.random.default_rng(first).integers(0, 256, (rows, 3072), dtype=np.uint8)
    place = np.arange(first, first + rows)
    data[:, 0], data[:, 1] = place // 256, place % 256
    return data


def fake_label(place: int) -> int:
    return place * 7 % 10


def place_of(images: torch.Tensor) -> torch.Tensor:
    """Which image each one is, read from its pixels."""
    return images[:, 0, 0, 0].long() * 256 + images[:, 0, 0, 1].long()


def write_batch(path: Path, data: object, label: object, key: str = "labels") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pickle.dump({"batch_label": path.name, key: label, "data": data}, file, protocol=2)


def write_fake_cifar10(root: Path) -> Path:
    """Training images 0 to 119 and test images 1000 to 1023."""
    folder = root / "cifar-10-batches-py"
    for first, name in [*zip(range(0, 5 * ROWS, ROWS), TRAIN, strict=True), (1000, "test_batch")]:
        label = [fake_label(place) for place in range(first, first + ROWS)]
        write_batch(folder / name, fake_rows(first, ROWS), label)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_fake_cifar10(tmp_path)
    return tmp_path


def make(
    kind: type[CIFARDataModule] = CIFAR10DataModule, noise: LabelNoise | None = None, **options: Any
) -> CIFARDataModule:
    options = {"download": False, "verify": False, **options}
    module = kind(noise or SymmetricNoise(rate=0.2, seed=0), **options)
    module.setup("fit")
    return module


def val_batches(data: CIFARDataModule) -> list[Batch]:
    loader = data.val_dataloader()
    assert isinstance(loader, TensorLoader)
    return list(loader)


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# Reading


class Unchecked(datasets.CIFAR10):
    def _check_integrity(self) -> bool:
        return True

    def _load_meta(self) -> None:
        self.classes = list(PUBLISHED_CIFAR10.class_names)


def test_images_and_labels_are_torchvisions(root: Path) -> None:
    data = make(root=root, noise=NoNoise(), val_fraction=0)
    for split, train in ((data.train, True), (data.test, False)):
        reference = Unchecked(root, train=train)
        expected = torch.from_numpy(reference.data).permute(0, 3, 1, 2)
        assert torch.equal(split.input[:], expected)
        assert split.label.tolist() == split.clean_label.tolist() == reference.targets


def python2_pickle(data: np.ndarray, label: list[int], module: bytes) -> bytes:
    """The opcodes of the published files: written by Python 2 and an early numpy."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    array = (
        b"c" + module + b"\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + struct.pack("<cHcH", b"M", len(data), b"M", data.shape[1]) + b"\x86"
        b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T" + struct.pack("<i", data.nbytes) + data.tobytes() + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([k]) for k in label) + b"e"
    return b"\x80\x02}(" + text(b"labels") + numbers + text(b"data") + array + b"u."


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_the_form_that_python_2_wrote_is_read_without_a_warning(
    tmp_path: Path, module: bytes
) -> None:
    data, label = fake_rows(0, 5), [3, 1, 4, 1, 5]
    (tmp_path / "batch").write_bytes(python2_pickle(data, label, module))
    read, read_label = read_batch(tmp_path / "batch", "labels", 10)
    assert np.array_equal(read, data)
    assert read_label.tolist() == label


def test_another_data_set_is_a_row_of_facts_and_a_small_class(tmp_path: Path) -> None:
    class FineDataModule(CIFARDataModule):
        published = Published(
            "fake-100",
            datasets.CIFAR100,
            "fine_labels",
            tuple(f"class {k}" for k in range(100)),
            (0.5, 0.5, 0.5),
            (0.25, 0.25, 0.25),
        )

    folder = tmp_path / "cifar-100-python"
    write_batch(folder / "train", fake_rows(0, 200), [*range(100)] * 2, "fine_labels")
    write_batch(folder / "test", fake_rows(1000, 100), [*range(100)], "fine_labels")
    data = make(FineDataModule, root=tmp_path)
    assert (data.num_classes, len(data.train), len(data.test)) == (100, 180, 100)
    normalize = present(data.train.normalize)
    assert normalize(torch.full((1, 3, 1, 1), 255)).flatten().tolist() == [2, 2, 2]


def write_fake_cifar100(root: Path) -> Path:
    """Training images 0 to 299 and test images 1000 to 1099."""
    folder = root / "cifar-100-python"
    for first, rows, name in ((0, 300, "train"), (1000, 100, "test")):
        fine = [place * 7 % 100 for place in range(first, first + rows)]
        batch = {
            "filenames": ["x.png"] * rows,
            "fine_labels": fine,
            "coarse_labels": [k % 20 for k in fine],
            "data": fake_rows(first, rows),
        }
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder


class Unchecked100(datasets.CIFAR100):
    def _check_integrity(self) -> bool:
        return True

    def _load_meta(self) -> None:
        self.classes = list(PUBLISHED_CIFAR100.class_names)


def test_cifar100_is_its_fine_labels_as_torchvision_reads_them(tmp_path: Path) -> None:
    write_fake_cifar100(tmp_path)
    data = make(CIFAR100DataModule, root=tmp_path, noise=NoNoise(), val_fraction=0)
    assert data.num_classes == len(data.class_names) == 100
    assert (data.class_names[0], data.class_names[99]) == ("apple", "worm")
    for split, train in ((data.train, True), (data.test, False)):
        reference = Unchecked100(tmp_path, train=train)
        expected = torch.from_numpy(reference.data).permute(0, 3, 1, 2)
        assert torch.equal(split.input[:], expected)
        assert split.label.tolist() == split.clean_label.tolist() == reference.targets
    published = data.published
    assert (published.mean, published.std) == ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
    files = [(path.name, md5) for path, md5 in published.paths(tmp_path, train=True)]
    assert files == [tuple(row) for row in datasets.CIFAR100.train_list]


def test_cifar100_takes_every_kind_that_cifar10_does(tmp_path: Path) -> None:
    folder = write_fake_cifar100(tmp_path)
    data = make(CIFAR100DataModule, root=tmp_path, noise=AsymmetricNoise(rate=0.4))
    assert present(data.noise_record.per_class_rates).tolist() == pytest.approx([1 / 3] * 100)
    clean = np.array([place * 7 % 100 for place in range(300)])
    noisy = np.where(np.arange(300) < 90, (clean + 1) % 100, clean)
    path = tmp_path / "CIFAR-100_human.pt"
    torch.save({"clean_label": clean, "noisy_label": noisy, "noisy_coarse_label": noisy % 20,
                "clean_coarse_label": clean % 20}, path)  # fmt: skip
    data = make(CIFAR100DataModule, root=tmp_path, noise=HumanNoise(path, "noisy"))
    assert data.noise_record.label.tolist() == noisy.tolist()
    assert data.noise_record.dropped_outside_classes == 0
    with pytest.raises(InputError, match="true labels differ at 240 of 300"):
        make(CIFAR100DataModule, root=tmp_path, noise=HumanNoise(path, "noisy_coarse"))
    with pytest.raises(InputError, match="published CIFAR-100"):
        make(CIFAR100DataModule, root=tmp_path, verify=True)
    (folder / "test").unlink()
    with pytest.raises(InputError, match="1 of 2 files missing, the first is test"):
        make(CIFAR100DataModule, root=tmp_path)


# What setup leaves


def test_splits_partition_the_pool_and_keep_images_and_labels_together(root: Path) -> None:
    data = make(root=root, val_fraction=0.25)
    assert (len(data.train), len(present(data.val)), len(data.test)) == (90, 30, 24)
    assert data.num_classes == 10
    assert data.class_names[3] == "cat"
    assert data.input_shape == (3, 32, 32)
    record = data.noise_record
    assert len(record.label) == 120
    for split in (data.train, present(data.val)):
        assert torch.equal(place_of(split.input[:]), split.source_index)
        assert split.clean_label.tolist() == [fake_label(k) for k in split.source_index.tolist()]
        assert torch.equal(split.label, record.label[split.source_index])
        assert split.source_index.tolist() == sorted(split.source_index.tolist())
    both = torch.cat([data.train.source_index, present(data.val).source_index])
    assert sorted(both.tolist()) == list(range(120))
    assert torch.equal(place_of(data.test.input[:]), data.test.source_index + 1000)
    assert data.test.clean_label.tolist() == [fake_label(k) for k in range(1000, 1024)]


def test_noise_is_drawn_for_the_pool_and_apart_from_it_for_the_test_labels(root: Path) -> None:
    noise = SymmetricNoise(rate=0.2, seed=4)
    data = make(root=root, noise=noise)
    clean = torch.tensor([fake_label(k) for k in range(120)])
    assert torch.equal(data.noise_record.label, noise.draw(CleanSplit(clean, 10)).label)
    assert data.noise_record.is_noisy.sum() == 24
    drawn = noise.draw(CleanSplit(data.test.clean_label, 10, part="test")).label
    assert torch.equal(data.test.label, drawn)
    assert data.test.is_noisy.sum() == 4


class Curious(LabelNoise):
    """Keeps its arguments."""

    kind, seed = "curious", 0

    def __init__(self) -> None:
        self.splits: dict[str, CleanSplit] = {}

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        self.splits[split.part] = split
        return self._record(split, split.clean_label, None, None)


def test_noise_is_told_normalised_features_names_and_places(root: Path) -> None:
    noise = Curious()
    data = make(root=root, noise=noise, val_fraction=0)
    assert list(noise.splits) == ["train", "test"]
    told = noise.splits["train"]
    index = torch.tensor([7, 0, 55])
    assert callable(told.features)
    assert torch.equal(told.features(index), data.train.batch(index).input)
    assert told.class_names == data.class_names
    assert present(told.source_index).tolist() == list(range(120))
    told = noise.splits["test"]
    assert callable(told.features)
    assert torch.equal(told.features(index[:2]), data.test.batch(index[:2]).input)


def test_no_validation_split_at_fraction_0(root: Path) -> None:
    data = make(root=root, val_fraction=0)
    assert data.val is None
    assert data.val_dataloader() == []
    assert data.train.source_index.tolist() == list(range(120))


def test_seeds_rule_one_thing_each(root: Path) -> None:
    base = make(root=root, seed=1)
    held_out = present(base.val).source_index
    other_split = make(root=root, seed=1, split_seed=2)
    other_noise = make(root=root, seed=1, noise=SymmetricNoise(rate=0.2, seed=9))
    other_shuffle = make(root=root, seed=1, shuffle_seed=2)

    def order(data: CIFARDataModule) -> list[list[int]]:
        return [batch.index.tolist() for batch in data.train_dataloader()]

    assert torch.equal(base.noise_record.label, other_split.noise_record.label)
    assert not torch.equal(held_out, present(other_split.val).source_index)
    assert order(base) == order(other_split) == order(other_noise) != order(other_shuffle)
    assert torch.equal(held_out, present(other_noise.val).source_index)
    assert not torch.equal(base.noise_record.label, other_noise.noise_record.label)
    assert torch.equal(held_out, present(other_shuffle.val).source_index)
    assert other_shuffle.train_dataloader().augment_seed == 1
    assert torch.equal(make(root=root, seed=1).train.label, base.train.label)
    assert not torch.equal(present(make(root=root, seed=2).val).source_index, held_out)


def test_the_constructor_does_no_work_and_setup_works_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CIFAR10DataModule(NoNoise(), root=root / "nowhere")
    data = make(root=root)
    before = data.train, data.val, data.test, data.noise_record
    monkeypatch.setattr(cifar_files, "read_batch", lambda *_: pytest.fail("read twice"))
    data.prepare_data()
    for stage in ("fit", "validate", "test", None):
        data.setup(stage)
    after = data.train, data.val, data.test, data.noise_record
    assert all(a is b for a, b in zip(after, before, strict=True))


def test_per_class_keeps_equally_many_of_each_class(root: Path) -> None:
    data = make(root=root, per_class=5, val_fraction=0.2)
    val = present(data.val)
    assert (len(data.noise_record.label), len(data.train), len(val)) == (50, 40, 10)
    assert present(data.noise_record.clean_label).bincount().tolist() == [5] * 10
    assert len(data.test) == ROWS
    for split in (data.train, val):
        assert torch.equal(place_of(split.input[:]), split.source_index)
        assert split.clean_label.tolist() == [fake_label(k) for k in split.source_index.tolist()]
    chosen = torch.cat([data.train.source_index, val.source_index])
    assert len(chosen.unique()) == 50
    other = make(root=root, per_class=5, val_fraction=0.2, split_seed=1)
    both = torch.cat([other.train.source_index, present(other.val).source_index])
    assert set(chosen.tolist()) != set(both.tolist())


def test_loaders_serve_each_split(root: Path) -> None:
    data = make(root=root, batch_size=50, eval_batch_size=20, val_fraction=0.25)
    batches = list(data.train_dataloader())
    assert [len(batch.label) for batch in batches] == [50, 40]
    index = torch.cat([batch.index for batch in batches])
    assert sorted(index.tolist()) == list(range(90)) != index.tolist()
    assert torch.equal(torch.cat([b.input for b in batches]), data.train.batch(index).input)
    assert torch.equal(torch.cat([b.label for b in batches]), data.train.label[index])
    assert [len(batch.label) for batch in val_batches(data)] == [20, 10]
    batches = list(TensorLoader(data.test, data.eval_batch_size))
    assert [len(batch.label) for batch in batches] == [20, 4]
    assert torch.equal(torch.cat([b.input for b in batches]), data.test.batch().input)
    assert torch.equal(torch.cat([b.label for b in batches]), data.test.label)
    (whole,) = make(root=root, batch_size=None).train_dataloader()
    assert len(whole.label) == 108


def test_only_training_batches_are_augmented_by_up_to_four_pixels(root: Path) -> None:
    data = make(root=root, augment=True, batch_size=108)
    plain = make(root=root, batch_size=108)
    (changed,), (original,) = data.train_dataloader(), plain.train_dataloader()
    assert torch.equal(changed.index, original.index)
    # The 24 x 24 pixels in the middle stay within every window, shifted by up to 4 and mirrored.
    middle = original.input[0, :, 8:24, 8:24]
    found = {
        (row, column)
        for image in (changed.input[0], changed.input[0].flip(2))
        for row in range(4, 13)
        for column in range(4, 13)
        if torch.allclose(image[:, row : row + 16, column : column + 16], middle)
    }
    assert len(found) == 1
    moved = (changed.input - original.input).flatten(1).abs().amax(1) > 0
    assert moved.double().mean() > 0.9
    (evaluated,), (expected,) = val_batches(data), val_batches(plain)
    assert torch.equal(evaluated.input, expected.input)


def test_epochs_end_where_the_trainer_limits_them(root: Path) -> None:
    data = make(root=root, batch_size=10)
    data.trainer = pl.Trainer(
        accelerator="cpu", limit_train_batches=4, logger=False, enable_checkpointing=False
    )
    loader = data.train_dataloader()
    assert [len(list(loader)) for _ in range(4)] == [4] * 4


class Linear(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3072, 10)

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.layer(batch.input.flatten(1)), batch.label)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable.*")
@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")
def test_a_run_resumed_in_mid_epoch_ends_with_the_same_weights(root: Path, tmp_path: Path) -> None:
    def train(steps: int, checkpoint: Path | None = None) -> tuple[pl.Trainer, Linear]:
        pl.seed_everything(0, verbose=False)
        trainer = pl.Trainer(
            accelerator="cpu",
            max_steps=steps,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        model = Linear()
        data = CIFAR10DataModule(
            NoNoise(), root=root, verify=False, batch_size=25, augment=True, val_fraction=0
        )
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        return trainer, model

    trainer, _ = train(7)  # two batches into the second epoch of five
    trainer.save_checkpoint(tmp_path / "middle.ckpt")
    _, resumed = train(12, tmp_path / "middle.ckpt")
    _, whole = train(12)
    assert torch.equal(resumed.layer.weight, whole.layer.weight)


# The pair


@pytest.mark.parametrize("classes", [("airplane", "automobile"), (1, "airplane"), [9, 3]])
def test_pair_is_two_balanced_classes_in_the_order_given(
    root: Path, classes: Sequence[str | int]
) -> None:
    data = make(CIFAR10PairDataModule, root=root, classes=classes, val_fraction=0)
    names = PUBLISHED_CIFAR10.class_names
    numbers = [names.index(k) if isinstance(k, str) else k for k in classes]
    assert data.num_classes == 2
    assert data.class_names == tuple(names[k] for k in numbers)
    assert data.train.clean_label.bincount().tolist() == [12, 12]
    for split, first in ((data.train, 0), (data.test, 1000)):
        assert torch.equal(place_of(split.input[:]), split.source_index + first)
        original = [fake_label(k + first) for k in split.source_index.tolist()]
        assert [numbers[k] for k in split.clean_label.tolist()] == original
    assert data.noise_record.num_classes == 2
    assert data.noise_record.is_noisy.sum() == 4


def test_pair_draws_as_many_of_the_larger_class_as_the_smaller_has(root: Path) -> None:
    counts = [sum(fake_label(k) == c for k in range(1000, 1024)) for c in (0, 5)]
    assert counts == [3, 2]
    data = make(CIFAR10PairDataModule, root=root, classes=(0, 5), per_class=4)
    assert data.test.clean_label.bincount().tolist() == [2, 2]
    assert present(data.noise_record.clean_label).bincount().tolist() == [4, 4]
    modules = [make(CIFAR10PairDataModule, root=root, classes=(0, 5), seed=k) for k in range(4)]
    assert len({tuple(module.test.source_index.tolist()) for module in modules}) > 1


@pytest.mark.parametrize(
    "classes", [("cat", "cat"), ("cat", 3), ("cat",), (0, 1, 2), ("cat", "unicorn"), (0, 10)]
)
def test_pair_refuses_what_are_not_two_different_classes(classes: tuple[str | int, ...]) -> None:
    with pytest.raises(InputError) as error:
        CIFAR10PairDataModule(NoNoise(), classes=classes)
    assert "airplane, automobile" in one_line(error)
    assert str(list(classes)) in one_line(error)


def test_pair_without_images_of_a_class(root: Path) -> None:
    for name in TRAIN:
        write_batch(root / "cifar-10-batches-py" / name, fake_rows(0, 2), [0, 2])
    with pytest.raises(InputError, match="train images of airplane and automobile") as error:
        make(CIFAR10PairDataModule, root=root)
    one_line(error)


@pytest.fixture
def labels(root: Path) -> Path:
    """Every third image's label is the next class; of the others, dogs are cats or trucks too."""
    path = root / "labels.npz"
    clean = np.array([fake_label(place) for place in range(120)])
    place = np.arange(120)
    worse = np.where(place % 3 == 0, (clean + 1) % 10, clean)
    worse = np.where((clean == 5) & (place % 3 > 0) & (place % 4 == 1), 3, worse)
    worse = np.where((clean == 5) & (place % 3 > 0) & (place < 30), 9, worse)
    worse = np.where((clean == 0) & (place > 100), 7, worse)
    np.savez(path, clean=clean, worse=worse, short=worse)
    return path


def expected_pair(path: Path, classes: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Place, true and given label of each image kept, by a loop over the file."""
    with np.load(path) as arrays:
        rows = zip(arrays["clean"].tolist(), arrays["worse"].tolist(), strict=True)
        kept = [(k, *row) for k, row in enumerate(rows) if {*row} <= {*classes}]
    return [(k, classes.index(true), classes.index(given)) for k, true, given in kept]


@pytest.mark.parametrize("classes", [(5, 3), (3, 5), (0, 1)])
@pytest.mark.parametrize("kind", [HumanNoise, HumanTwinNoise])
def test_pair_keeps_the_images_that_people_gave_one_of_its_classes(
    root: Path,
    labels: Path,
    classes: tuple[int, int],
    kind: type[HumanNoise] | type[HumanTwinNoise],
) -> None:
    noise = kind(labels, "worse")
    data = make(CIFAR10PairDataModule, root=root, noise=noise, classes=classes, val_fraction=0)
    record, expected = data.noise_record, expected_pair(labels, classes)
    places, true, given = (list(column) for column in zip(*expected, strict=True))
    assert data.train.source_index.tolist() == present(record.source_index).tolist() == places
    assert torch.equal(place_of(data.train.input[:]), data.train.source_index)
    clean = present(record.clean_label)
    assert clean.tolist() == true
    assert record.dropped_outside_classes == record.summary()["dropped_outside_classes"]
    assert record.dropped_outside_classes == 24 - len(expected) > 0
    assert record.is_noisy.sum() == sum(a != b for a, b in zip(true, given, strict=True)) > 0
    assert f"{24 - len(expected)} samples dropped" in record.describe()
    if kind is HumanNoise:
        assert data.train.label.tolist() == given
    counts = clean.bincount().tolist()
    assert counts[0] != counts[1]  # not made equal in silence


def test_pairs_of_people_and_of_their_twin_differ_in_the_labels_alone(
    root: Path, labels: Path
) -> None:
    options = {"root": root, "classes": (5, 3), "val_fraction": 0.25, "seed": 2}
    human, twin = (
        make(CIFAR10PairDataModule, noise=kind(labels, "worse", seed=2), **options)
        for kind in (HumanNoise, HumanTwinNoise)
    )
    for name in ("train", "val", "test"):
        a, b = getattr(human, name), getattr(twin, name)
        assert torch.equal(a.source_index, b.source_index)
        assert torch.equal(a.clean_label, b.clean_label)
    assert torch.equal(human.test.label, twin.test.label)
    a, b = human.noise_record, twin.noise_record
    assert torch.equal(present(a.transition_matrix), present(b.transition_matrix))
    assert not torch.equal(a.label, b.label)


def test_per_class_draws_from_what_people_left(root: Path, labels: Path) -> None:
    options: dict[str, Any] = {
        "root": root,
        "classes": (5, 3),
        "val_fraction": 0,
        "noise": HumanNoise(labels, "worse"),
    }
    left = make(CIFAR10PairDataModule, **options).noise_record
    smallest = int(present(left.clean_label).bincount().min())
    data = make(CIFAR10PairDataModule, per_class=smallest, **options)
    assert present(data.noise_record.clean_label).bincount().tolist() == [smallest] * 2
    assert data.noise_record.dropped_outside_classes == left.dropped_outside_classes
    assert set(data.train.source_index.tolist()) < set(present(left.source_index).tolist())
    with pytest.raises(InputError, match=f"smallest class has {smallest}"):
        make(CIFAR10PairDataModule, per_class=smallest + 1, **options)


@pytest.mark.parametrize("per_class", [None, 3])
def test_a_pair_of_an_earlier_run_comes_back_from_its_record(
    root: Path, labels: Path, tmp_path: Path, per_class: int | None
) -> None:
    options = {"root": root, "classes": (5, 3), "per_class": per_class}
    data = make(CIFAR10PairDataModule, noise=HumanNoise(labels, "worse"), **options)
    data.noise_record.save(tmp_path / "noise.npz")
    again = make(CIFAR10PairDataModule, noise=FileNoise(tmp_path / "noise.npz"), **options)
    assert again.noise_record.summary() == {**data.noise_record.summary(), "kind": "file"}
    for name in ("train", "val"):
        a, b = getattr(data, name), getattr(again, name)
        assert torch.equal(a.label, b.label)
        assert torch.equal(a.source_index, b.source_index)


def test_labels_of_other_data_are_refused_on_the_pair(
    root: Path, labels: Path, tmp_path: Path
) -> None:
    with np.load(labels) as arrays:
        columns = {name: arrays[name] for name in ("clean", "worse")}
    np.savez(tmp_path / "moved.npz", **{k: np.roll(v, 1) for k, v in columns.items()})
    with pytest.raises(InputError, match="another order"):
        make(CIFAR10PairDataModule, root=root, noise=HumanNoise(tmp_path / "moved.npz"))
    longer = np.concatenate([columns["worse"], [0]])
    np.savez(tmp_path / "longer.npz", worse=longer)
    with pytest.raises(InputError, match="121 labels for 120 samples"):
        make(CIFAR10PairDataModule, root=root, noise=HumanNoise(tmp_path / "longer.npz"))


@pytest.mark.slow
def test_the_experiment_runs_people_and_twin_side_by_side(
    root: Path, labels: Path, tmp_path: Path
) -> None:
    words = ["experiment=human_and_twin", f"noise.path={labels}", "noise.column=worse"]
    words += [f"data.root={root}", "data.verify=false", "data.download=false", "max_epochs=2"]
    words += [f"output_dir={tmp_path}", "name=both", "data.classes=[5,3]", "batch_size=10"]
    words += ["threads=1", "logger=none", "trainer.enable_progress_bar=false"]
    repository = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "run.py", *words],
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    read = [json.loads((tmp_path / "both" / k / "summary.json").read_text()) for k in "01"]
    human, twin = (summary["noise"] for summary in read)
    assert (human["kind"], twin["kind"]) == ("human", "human_twin")
    for same in ("rate_realised", "transition_matrix", "dropped_outside_classes"):
        assert human[same] == twin[same]
    assert human["fingerprint"] != twin["fingerprint"]
    assert title(read[0]) != title(read[1])
    assert (tmp_path / "both" / "figures" / "two_stages.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"eval_batch_size": 0},
        {"val_fraction": 1.0},
        {"val_fraction": -0.1},
        {"per_class": 0},
    ],
)
def test_options_out_of_range_are_refused_at_once(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(InputError, match=name) as error:
        CIFAR10DataModule(NoNoise(), **options)
    one_line(error)


# Files that are missing, foreign or damaged


def test_missing_without_download_names_both_remedies(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        make(root=tmp_path / "here")
    message = one_line(error)
    assert str(tmp_path / "here" / "cifar-10-batches-py") in message
    assert "data.root=" in message
    assert "data.download=true" in message


def test_one_missing_file_is_named(root: Path) -> None:
    (root / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(InputError, match="1 of 6 files missing, the first is data_batch_4"):
        make(root=root)


def test_other_files_than_the_published_ones_are_refused_and_left_as_they_are(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar_files, "download_and_extract_archive", lambda *_, **__: pytest.fail())
    with pytest.raises(InputError) as error:
        make(root=root, verify=True, download=True)
    message = one_line(error)
    assert "data_batch_1" in message
    assert "data.verify=false" in message


def known(root: Path) -> Published:
    """The fake files as if they were the published ones."""

    def listed(names: list[str]) -> list[list[str]]:
        folder = root / "cifar-10-batches-py"
        return [[n, hashlib.md5((folder / n).read_bytes()).hexdigest()] for n in names]

    lists = {"train_list": listed(TRAIN), "test_list": listed(["test_batch"])}
    return replace(PUBLISHED_CIFAR10, files=type("Known", (datasets.CIFAR10,), lists))


def test_the_published_files_pass_and_a_changed_byte_does_not(root: Path) -> None:
    published = known(root)
    fetch(published, root, download=False, verify=True)
    path = root / "cifar-10-batches-py" / "data_batch_3"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="data_batch_3"):
        fetch(published, root, download=False, verify=True)
    fetch(published, root, download=False, verify=False)


def test_download_fetches_the_checked_archive_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fake_download(url: str, root: str, filename: str, md5: str) -> None:
        calls.append((url, filename, md5))
        write_fake_cifar10(Path(root))

    monkeypatch.setattr(cifar_files, "download_and_extract_archive", fake_download)
    data = make(root=tmp_path / "new" / "data", download=True)
    data.prepare_data()
    make(root=tmp_path / "new" / "data", download=True)
    reference = datasets.CIFAR10
    assert calls == [(reference.url, reference.filename, reference.tgz_md5)]
    assert len(data.train) == 108


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("[Errno -3] Temporary failure in name resolution"),
        RuntimeError("File not found or corrupted."),
        EOFError(),
        OSError("several\nlines"),
    ],
)
def test_a_failed_download_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise failure

    monkeypatch.setattr(cifar_files, "download_and_extract_archive", fail)
    with pytest.raises(InputError) as error:
        make(root=tmp_path, download=True)
    message = one_line(error)
    assert datasets.CIFAR10.url in message
    assert "data.root=" in message


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("evil-was-here",)


class OtherCodec:
    def __reduce__(self) -> tuple[Any, ...]:
        return codecs.encode, ("text", "rot13")


def batch(**changes: Any) -> dict:
    return {"data": fake_rows(0, 3), "labels": [0, 1, 2], **changes}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read"),
        (b"no pickle", "cannot be read"),
        ([1, 2], "'data' is missing"),
        ({"labels": [0]}, "'data' is missing"),
        (batch(data=fake_rows(0, 3).tolist()), "'data' is missing"),
        (batch(data=fake_rows(0, 3)[:, :3071]), "3071"),
        (batch(data=fake_rows(0, 3)[0]), "3072"),
        (batch(data=fake_rows(0, 3).astype(np.int16)), "array of type i2"),
        (batch(data=np.empty((3, 3072), dtype=object)), "array of type O8"),
        (batch(labels=[0, 1]), "3 images but 2 labels"),
        ({"data": fake_rows(0, 3), "fine_labels": [0, 1, 2]}, "no labels under 'labels'"),
        (batch(labels=[0, 1, 10]), "outside 0..9"),
        (batch(labels=[0, 1, -1]), "outside 0..9"),
        (batch(labels=[0, 1, "2"]), "outside 0..9"),
        (batch(extra=Evil()), "mkdir"),
        (batch(extra=OtherCodec()), "the encoding rot13"),
    ],
)
def test_a_file_that_is_no_batch_is_named_and_not_run(
    root: Path, monkeypatch: pytest.MonkeyPatch, content: object, reason: str
) -> None:
    monkeypatch.chdir(root)
    path = root / "cifar-10-batches-py" / "data_batch_2"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=2))
    with pytest.raises(InputError, match=reason) as error:
        make(root=root)
    assert str(path) in one_line(error)
    assert not (root / "evil-was-here").exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_truncated_file_is_named(root: Path, share: float) -> None:
    path = root / "cifar-10-batches-py" / "test_batch"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="test_batch cannot be read") as error:
        make(root=root)
    one_line(error)


def test_files_without_images_are_refused(root: Path) -> None:
    for name in TRAIN:
        empty = {"data": fake_rows(0, 0), "labels": []}
        (root / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(empty, protocol=4))
    with pytest.raises(InputError, match="no image to train on"):
        make(root=root)
