"""Drawing some of each class and holding out, with no class lost."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelnoise.data.subsets import equal_per_class, hold_out
from labelnoise.errors import InputError
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
    assert "data.val_fraction=0.97: only 27 of 30 images are held out" in caplog.text


def test_training_and_validation_images_are_one_tensor_in_memory(root: Path) -> None:
    data = make(root, val_fraction=0.3)
    assert data.val is not None
    storages = {s.input.untyped_storage().data_ptr() for s in (data.train, data.val, data.test)}
    assert len(storages) == 1
    assert data.train.input.untyped_storage().nbytes() == 42 * 3 * 8 * 8


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
