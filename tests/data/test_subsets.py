"""Drawing some of each class and holding out, with no class lost."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelnoise.data.digits import DigitsDataModule
from labelnoise.data.subsets import equal_per_class, fold_of, hold_out
from labelnoise.errors import InputError
from labelnoise.noise import SymmetricNoise
from labelnoise.seeding import stream
from tests.conftest import present
from tests.folders import make, write_image


def test_equal_per_class_takes_each_sample_as_often() -> None:
    label = torch.tensor([0, 0, 0, 0, 2, 2])
    times = torch.zeros(6)
    for seed in range(2000):
        index = equal_per_class(label, 1, stream(seed, "test"))
        assert label[index].tolist() == [0, 2]
        times[index] += 1
    expected = torch.tensor([0.25] * 4 + [0.5] * 2)
    assert ((times / 2000 - expected).abs() < 0.05).all()


@pytest.mark.parametrize("per_class", [0, 3])
def test_equal_per_class_refuses(per_class: int) -> None:
    with pytest.raises(InputError, match="write 1 to 2"):
        equal_per_class(torch.tensor([0, 0, 0, 2, 2]), per_class, stream(0, "test"))


@pytest.mark.parametrize(("n", "fraction"), [(10, -0.1), (10, 1.0), (10, 0.01), (10, 0.99)])
def test_hold_out_refuses(n: int, fraction: float) -> None:
    with pytest.raises(InputError, match="data.val_fraction"):
        hold_out(torch.zeros(n, dtype=torch.int64), fraction, stream(0, "test"))


def plain_draw(n: int, size: int, seed: int) -> tuple[list[int], list[int]]:
    """Without regard to classes, as the results in docs/results.md were made."""
    order = torch.randperm(n, generator=stream(seed, "split")).tolist()
    return sorted(order[size:]), sorted(order[:size])


@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=30), st.floats(0.05, 0.95), st.integers(0, 9)
)
def test_every_class_keeps_a_sample_and_the_draw_is_plain_where_it_can_be(
    words: list[int], fraction: float, seed: int
) -> None:
    label = torch.tensor(words)
    n, size, classes = len(words), round(len(words) * fraction), set(words)
    if size in (0, n) or n == len(classes):
        with pytest.raises(InputError, match="data.val_fraction"):
            hold_out(label, fraction, stream(seed, "split"))
        return
    rest, held = (part.tolist() for part in hold_out(label, fraction, stream(seed, "split")))
    assert sorted(rest + held) == list(range(n))
    assert (rest, held) == (sorted(rest), sorted(held))
    assert {words[i] for i in rest} == classes
    assert len(held) == min(size, n - len(classes))
    expected = plain_draw(n, size, seed)
    if {words[i] for i in expected[0]} == classes:
        assert (rest, held) == expected


def test_the_draw_of_whole_cifar_has_not_changed() -> None:
    label = torch.arange(50_000) % 10
    rest, held = hold_out(label, 0.1, stream(3, "split"))
    assert (rest.tolist(), held.tolist()) == plain_draw(50_000, 5000, 3)


@pytest.mark.parametrize("seed", range(6))
def test_a_class_of_two_keeps_one_and_a_class_of_one_stays(root: Path, seed: int) -> None:
    for name, count in (("fox", 2), ("gnu", 1)):
        for k in range(count):
            write_image(root / "train" / name / f"{k}.png")
    data = make(root, val_fraction=0.5, seed=seed)
    counts = data.train.label.bincount(minlength=5)
    assert counts[3] >= 1
    assert counts[4] == 1
    assert len(present(data.val)) == 16  # round(33 / 2), to the even number


def test_fewer_are_held_out_where_classes_would_be_lost(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "labelnoise"):
        data = make(root, val_fraction=0.97)
    assert len(data.train) == 3
    assert "data.val_fraction=0.97: only 27 of 30 samples are held out" in caplog.text


def test_training_and_validation_images_are_one_tensor_in_memory(root: Path) -> None:
    data = make(root, val_fraction=0.3)
    assert data.val is not None
    storages = {
        s.input[:].untyped_storage().data_ptr() for s in (data.train, data.val, present(data.test))
    }
    assert len(storages) == 1
    assert data.train.input[:].untyped_storage().nbytes() == 42 * 3 * 8 * 8


def test_images_that_are_not_chosen_are_not_decoded(root: Path) -> None:
    (root / "train" / "cat" / "0.png").write_bytes(b"no image")
    for seed in range(20):
        try:
            data = make(root, per_class=1, val_fraction=0, seed=seed)
        except InputError:
            continue
        assert len(data.noise_record.label) == 3
        return
    pytest.fail("all were decoded")


@settings(max_examples=50, deadline=None)
@given(data=st.data(), classes=st.integers(1, 6), seed=st.integers(0, 9))
def test_folds_are_a_partition_with_equal_shares_of_every_class(
    data: st.DataObject, classes: int, seed: int
) -> None:
    drawn = data.draw(st.lists(st.integers(0, classes - 1), min_size=2, max_size=60))
    label = torch.tensor(drawn)
    folds = data.draw(st.integers(2, len(label)))
    fold = fold_of(label, folds, stream(seed, "folds"))
    assert torch.equal(fold, fold_of(label, folds, stream(seed, "folds")))
    for members in (label >= 0, *(label == k for k in range(classes))):
        sizes = fold[members].bincount(minlength=folds)
        assert len(sizes) == folds and int(sizes.max() - sizes.min()) <= 1


def test_more_folds_than_samples_are_refused() -> None:
    with pytest.raises(InputError, match="there are 3 samples, too few for 4 folds"):
        fold_of(torch.tensor([0, 1, 0]), 4, stream(0, "folds"))


def test_the_validation_split_is_the_fold() -> None:
    held = []
    for place in range(3):
        data = DigitsDataModule(SymmetricNoise(0.2), fold=(place, 3), per_class=10, batch_size=20)
        data.setup()
        held.append(present(data.val).source_index)
        both = torch.cat([data.train.source_index, held[-1]])
        assert len(both) == len(both.unique()) == 100
    assert len(torch.cat(held).unique()) == 100


@pytest.mark.parametrize("fold", [(3, 3), (0,), (0, 1), (-1, 3)], ids=str)
def test_a_fold_that_does_not_exist_is_refused(fold: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="data.fold must be a fold and the number of folds"):
        DigitsDataModule(SymmetricNoise(0.2), fold=fold)
