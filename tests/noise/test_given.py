"""Labels from files: the three formats, refused files, and splits without labels in the file."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labelnoise.errors import InputError
from labelnoise.noise import (
    CleanSplit,
    FileNoise,
    HumanNoise,
    HumanTwinNoise,
    LabelNoise,
    NoiseRecord,
    SymmetricNoise,
)
from labelnoise.noise.label_files import read_labels
from tests.conftest import present

CLEAN = torch.arange(3).repeat(20)
WORSE = SymmetricNoise(rate=0.3, seed=0).draw(CleanSplit(CLEAN, 3)).label
AGGRE = SymmetricNoise(rate=0.1, seed=1).draw(CleanSplit(CLEAN, 3)).label


def columns() -> dict[str, np.ndarray]:
    return {"clean": CLEAN.numpy(), "aggre": AGGRE.numpy(), "worse": WORSE.numpy()}


def write_csv(path: Path, arrays: dict[str, Any]) -> Path:
    lines = [",".join(arrays)]
    lines += [",".join(str(v) for v in row) for row in zip(*arrays.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_npz(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


def write_pt(path: Path, arrays: Any) -> Path:
    torch.save(arrays, path)
    return path


def write_old_pt(path: Path, arrays: Any) -> Path:
    """As numpy 1 wrote it, and CIFAR-N is published: with the name that numpy 2 moved."""
    torch.save(arrays, path, _use_new_zipfile_serialization=False)
    new, old = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
    data = path.read_bytes()
    assert new in data or old in data
    path.write_bytes(data.replace(new, old))
    return path


def write_tensors(path: Path, arrays: dict[str, Any]) -> Path:
    return write_pt(path, {name: torch.as_tensor(values) for name, values in arrays.items()})


Write = Callable[[Path, dict[str, Any]], Path]
FORMATS: dict[str, Write] = {
    "labels.csv": write_csv,
    "labels.npz": write_npz,
    "labels.pt": write_pt,
    "old.pt": write_old_pt,
    "tensors.pt": write_tensors,
}
each_format = pytest.mark.parametrize(("name", "write"), FORMATS.items(), ids=list(FORMATS))


def refusal(noise: HumanNoise | FileNoise, clean: torch.Tensor = CLEAN, **arguments: Any) -> str:
    with pytest.raises(InputError) as error:
        noise.draw(CleanSplit(clean, 3, **arguments))
    assert "\n" not in str(error.value)
    return str(error.value)


@each_format
def test_a_column_is_read_in_order(tmp_path: Path, name: str, write: Write) -> None:
    path = write(tmp_path / name, columns())
    record = HumanNoise(str(path), "worse", seed=4).draw(CleanSplit(CLEAN, 3))
    assert torch.equal(record.label, WORSE)
    assert (record.kind, record.seed, record.rate_requested) == ("human", 4, None)
    assert record.matrix_requested is None
    assert record.rate_realised == pytest.approx(0.3)


@each_format
def test_narrow_integers_are_read_as_well(tmp_path: Path, name: str, write: Write) -> None:
    arrays = {key: values.astype(np.uint8) for key, values in columns().items()}
    path = write(tmp_path / name, arrays)
    assert torch.equal(HumanNoise(str(path), "aggre").draw(CleanSplit(CLEAN, 3)).label, AGGRE)


@each_format
def test_source_index_says_which_samples(tmp_path: Path, name: str, write: Write) -> None:
    path = write(tmp_path / name, columns())
    index = torch.tensor([40, 3, 17, 59])
    record = HumanNoise(str(path), "worse").draw(CleanSplit(CLEAN[index], 3, source_index=index))
    assert torch.equal(record.label, WORSE[index])


@each_format
def test_the_only_column_needs_no_name(tmp_path: Path, name: str, write: Write) -> None:
    arrays = {"clean_label": CLEAN.numpy(), "given": WORSE.numpy(), "index": np.arange(60)}
    path = write(tmp_path / name, arrays)
    given = read_labels(path)
    assert given.column == "given"
    assert torch.equal(given.label, WORSE)
    assert given.clean_label is not None
    assert torch.equal(given.clean_label, CLEAN)
    assert torch.equal(HumanNoise(str(path)).draw(CleanSplit(CLEAN, 3)).label, WORSE)


@each_format
@pytest.mark.parametrize("column", [None, "worst"])
def test_a_choice_that_is_not_clear_lists_the_columns(
    tmp_path: Path, name: str, write: Write, column: str | None
) -> None:
    path = write(tmp_path / name, columns())
    message = refusal(HumanNoise(str(path), column))
    assert "clean, aggre, worse" in message
    assert "noise.column=" in message
    assert str(column) in message or column is None


CIFAR_N = {
    "clean_label": CLEAN.numpy(),
    "worse_label": WORSE.numpy(),
    "random_label1": AGGRE.numpy(),
    "random_label2": CLEAN.numpy(),
}


@each_format
@pytest.mark.parametrize(
    ("column", "published"),
    [
        ("worse", "worse_label"),
        ("worse_label", "worse_label"),
        ("random1", "random_label1"),
        ("random_label2", "random_label2"),
        ("clean", "clean_label"),
    ],
)
def test_cifar_ns_names_may_be_written_short(
    tmp_path: Path, name: str, write: Write, column: str, published: str
) -> None:
    given = read_labels(write(tmp_path / name, CIFAR_N), column)
    assert given.column == published
    assert torch.equal(given.label, torch.as_tensor(CIFAR_N[published]))
    assert torch.equal(present(given.clean_label), CLEAN)


def test_a_name_is_the_columns_own_first_and_may_be_the_long_one(tmp_path: Path) -> None:
    both = {"worse_label": AGGRE.numpy(), "worse": WORSE.numpy()}
    path = write_npz(tmp_path / "both.npz", both)
    assert torch.equal(read_labels(path, "worse").label, WORSE)
    assert torch.equal(read_labels(path, "worse_label").label, AGGRE)
    path = write_npz(tmp_path / "short.npz", columns())
    assert read_labels(path, "worse_label").column == "worse"
    for wrong in ("random", "label", "worse1", "_label", ""):
        assert "holds clean, aggre, worse" in refusal(HumanNoise(str(path), wrong))


COARSE = CLEAN % 2
CIFAR_100N = {
    "clean_label": CLEAN.numpy(),
    "noisy_label": WORSE.numpy(),
    "noisy_coarse_label": (1 - COARSE).numpy(),
    "clean_coarse_label": COARSE.numpy(),
}


@each_format
def test_cifar_100ns_fine_labels_are_not_mistaken_for_the_superclasses(
    tmp_path: Path, name: str, write: Write
) -> None:
    path = str(write(tmp_path / name, CIFAR_100N))
    assert torch.equal(HumanNoise(path, "noisy").draw(CleanSplit(CLEAN, 3)).label, WORSE)
    given = read_labels(path, "noisy_coarse")
    assert given.column == "noisy_coarse_label"
    assert torch.equal(present(given.clean_label), COARSE)
    assert "another order" in refusal(HumanNoise(path, "noisy_coarse_label"))
    assert "clean_label, noisy_label, noisy_coarse_label, clean_coarse_label" in refusal(
        HumanNoise(path)
    )


@each_format
def test_another_order_is_told_by_the_true_labels(tmp_path: Path, name: str, write: Write) -> None:
    path = write(tmp_path / name, columns())
    moved = CLEAN.clone()
    moved[[5, 7, 9]] = (moved[[5, 7, 9]] + 1) % 3
    message = refusal(HumanNoise(str(path), "worse"), moved)
    assert "differ at 3 of 60 positions, first at 5 (file 2, data 0)" in message


@each_format
def test_lengths_and_places_have_to_fit(tmp_path: Path, name: str, write: Write) -> None:
    path = write(tmp_path / name, {"worse": WORSE.numpy()})
    assert "60 labels for 59 samples" in refusal(HumanNoise(str(path)), CLEAN[:59])
    index = torch.arange(1, 61)
    assert "positions 1 to 60" in refusal(HumanNoise(str(path)), source_index=index)
    assert "positions -1 to 58" in refusal(HumanNoise(str(path)), source_index=index - 2)


@each_format
def test_a_class_out_of_range_is_refused(tmp_path: Path, name: str, write: Write) -> None:
    worse = WORSE.numpy().copy()
    worse[11] = 3
    path = write(tmp_path / name, {"worse": worse})
    message = refusal(HumanNoise(str(path)))
    assert "'worse'" in message
    assert "3 at position 11" in message
    # Only the samples asked for count.
    kept = torch.arange(11)
    assert (
        len(HumanNoise(str(path)).draw(CleanSplit(CLEAN[kept], 3, source_index=kept)).label) == 11
    )


@each_format
def test_values_that_are_no_integers_are_refused(tmp_path: Path, name: str, write: Write) -> None:
    path = write(tmp_path / name, {"worse": WORSE.numpy().astype(np.float64)})
    assert "integer" in refusal(HumanNoise(str(path)))


@each_format
def test_an_index_out_of_order_is_refused(tmp_path: Path, name: str, write: Write) -> None:
    path = write(tmp_path / name, {"index": np.arange(60)[::-1].copy(), "worse": WORSE.numpy()})
    assert "is not 0, 1, 2" in refusal(HumanNoise(str(path)))


@pytest.mark.parametrize("name", ["labels.npz", "labels.pt"])
def test_columns_of_two_lengths_are_refused(tmp_path: Path, name: str) -> None:
    arrays = {"worse": WORSE.numpy(), "clean": CLEAN.numpy()[:50]}
    path = FORMATS[name](tmp_path / name, arrays)
    assert "60 values in 'worse' but 50 in 'clean'" in refusal(HumanNoise(str(path)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("worse\n0\ncat\n", ["line 3", "'cat'"]),
        ("clean,worse\n0,1\n2\n", ["line 3", "'2'", "clean"]),
        ("", ["nothing"]),
    ],
)
def test_a_csv_says_which_line_is_at_fault(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    message = refusal(HumanNoise(str(path)))
    for word in words:
        assert word in message


def test_a_csv_may_have_a_byte_order_mark_spaces_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbfclean, worse\r\n1, 0\r\n\r\n2, 2\r\n")
    given = read_labels(path)
    assert given.label.tolist() == [0, 2]
    assert given.clean_label is not None
    assert given.clean_label.tolist() == [1, 2]


def test_a_file_has_to_exist_and_end_as_it_is_read(tmp_path: Path) -> None:
    assert "is not a file" in refusal(HumanNoise(str(tmp_path / "labels.npz")))
    assert ".npz, .csv, .pt" in refusal(HumanNoise(str(tmp_path / "labels.txt")))


class Trap:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["trap.pt", "trap.npz", "plain.pt"])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, name: str) -> None:
    path, sprung = tmp_path / name, tmp_path / "sprung"
    if name == "trap.pt":
        torch.save({"worse": WORSE.numpy(), "aggre": Trap(sprung)}, path)
    elif name == "trap.npz":
        np.savez(path, worse=np.array([Trap(sprung)], dtype=object))
    else:
        path.write_bytes(pickle.dumps({"worse": Trap(sprung)}))
    assert "cannot be read" in refusal(HumanNoise(str(path), "worse"))
    assert not sprung.exists()


def test_a_pt_that_needs_more_than_arrays_says_what(tmp_path: Path) -> None:
    path = write_pt(tmp_path / "labels.pt", {"worse": WORSE.numpy(), "rate": Fraction(1, 3)})
    assert "(it asks for fractions.Fraction)" in refusal(HumanNoise(str(path), "worse"))
    path = write_pt(tmp_path / "objects.pt", {"worse": np.array([1, "2"], dtype=object)})
    assert "cannot be read (UnpicklingError)" in refusal(HumanNoise(str(path), "worse"))


@pytest.mark.parametrize("name", ["labels.npz", "labels.pt", "old.pt"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = FORMATS[name](tmp_path / name, columns())
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert "cannot be read" in refusal(HumanNoise(str(path), "worse"))


def test_a_pt_that_holds_no_dict_is_refused(tmp_path: Path) -> None:
    path = write_pt(tmp_path / "labels.pt", WORSE)
    assert "contains a Tensor" in refusal(HumanNoise(str(path)))


def test_other_parts_follow_the_files_matrix_in_any_order(tmp_path: Path) -> None:
    path = str(write_npz(tmp_path / "labels.npz", columns()))
    kept = torch.arange(30)
    noise, other = HumanNoise(path, "worse"), HumanNoise(path, "worse")
    before = noise.draw(CleanSplit(CLEAN, 3, part="test"))
    train = noise.draw(CleanSplit(CLEAN[kept], 3, source_index=kept))
    after = noise.draw(CleanSplit(CLEAN, 3, part="test", source_index=torch.arange(60) + 1_000))
    whole = other.draw(CleanSplit(CLEAN, 3))
    assert torch.equal(before.label, after.label)
    assert torch.equal(present(before.matrix_requested), present(whole.transition_matrix))
    assert torch.equal(present(after.matrix_requested), present(whole.transition_matrix))
    assert not torch.equal(present(train.transition_matrix), present(whole.transition_matrix))
    # 20 samples a class, as in the file, so each class flips as often.
    assert torch.equal(present(before.per_class_rates), present(whole.per_class_rates))
    assert not torch.equal(before.label, whole.label)
    assert not torch.equal(before.label, noise.draw(CleanSplit(CLEAN, 3, part="val")).label)


def test_without_true_labels_the_train_draw_supplies_the_matrix(tmp_path: Path) -> None:
    path = str(write_csv(tmp_path / "labels.csv", {"worse": WORSE.tolist()}))
    noise = HumanNoise(path)
    assert "no column clean" in refusal(noise, part="test")
    train = noise.draw(CleanSplit(CLEAN, 3))
    test = noise.draw(CleanSplit(CLEAN, 3, part="test", train_record=train))
    assert torch.equal(present(test.matrix_requested), present(train.transition_matrix))


def test_of_a_file_with_more_classes_those_of_the_data_count(tmp_path: Path) -> None:
    path = str(write_npz(tmp_path / "labels.npz", columns()))
    record = HumanNoise(path, "worse").draw(CleanSplit(torch.tensor([0, 1]), 2, part="test"))
    counts = torch.zeros(2, 2, dtype=torch.float64)
    for true, given in zip(CLEAN.tolist(), WORSE.tolist(), strict=True):
        if true < 2 and given < 2:
            counts[true, given] += 1
    expected = counts / counts.sum(dim=1, keepdim=True)
    assert torch.allclose(present(record.matrix_requested), expected)


# Some of the published classes: 2 becomes 0, and 0 becomes 1.
SOME = (CLEAN != 1).nonzero().flatten()
SOME_CLEAN = (2 - CLEAN[SOME]) // 2
TWO: dict[str, Any] = {"source_classes": (2, 0), "source_size": 60}


def of_two(noise: LabelNoise, part: str = "train") -> tuple[NoiseRecord, torch.Tensor]:
    """The record of the kept samples of classes 2 and 0, and their published positions."""
    kept = noise.keeps(CleanSplit(SOME_CLEAN, 2, source_index=SOME, **TWO))
    index = SOME[kept]
    return noise.draw(CleanSplit(SOME_CLEAN[kept], 2, part=part, source_index=index, **TWO)), index


@pytest.mark.parametrize("kind", [HumanNoise, HumanTwinNoise])
def test_on_two_classes_those_labelled_as_one_of_them_are_kept(
    tmp_path: Path, kind: type[HumanNoise] | type[HumanTwinNoise]
) -> None:
    path = str(write_npz(tmp_path / "labels.npz", columns()))
    record, index = of_two(kind(path, "worse"))
    pairs = list(zip(CLEAN.tolist(), WORSE.tolist(), strict=True))
    expected = [k for k, (true, given) in enumerate(pairs) if 1 not in (true, given)]
    assert index.tolist() == expected
    assert 0 < len(expected) < len(SOME)
    assert present(record.clean_label).tolist() == [{2: 0, 0: 1}[pairs[k][0]] for k in expected]
    wrong = sum(pairs[k][0] != pairs[k][1] for k in expected)
    assert int(record.is_noisy.sum()) == wrong > 0
    if kind is HumanNoise:
        assert record.label.tolist() == [{2: 0, 0: 1}[pairs[k][1]] for k in expected]


def test_other_parts_of_two_classes_follow_the_matrix_of_what_is_kept(tmp_path: Path) -> None:
    path = str(write_npz(tmp_path / "labels.npz", columns()))
    noise = HumanNoise(path, "worse")
    test = noise.draw(CleanSplit(torch.arange(2).repeat(100), 2, part="test", **TWO))
    expected = of_two(noise)[0].transition_matrix
    assert torch.equal(present(test.matrix_requested), present(expected))


def test_all_classes_drop_nothing_and_refuse_what_is_outside(tmp_path: Path) -> None:
    worse = WORSE.numpy().copy()
    worse[11] = 3
    path = str(write_npz(tmp_path / "labels.npz", {**columns(), "worse": worse}))
    noise = HumanNoise(path, "worse")
    assert noise.keeps(CleanSplit(CLEAN, 3, source_index=torch.arange(60), source_size=60)).all()
    assert "3 at position 11" in refusal(noise)


def test_what_was_not_dropped_is_refused(tmp_path: Path) -> None:
    noise = HumanNoise(str(write_npz(tmp_path / "labels.npz", columns())), "worse")
    outside = int((WORSE[SOME] == 1).sum())
    with pytest.raises(InputError, match=f"{outside} of 40 samples a label outside") as e:
        noise.draw(
            CleanSplit(SOME_CLEAN, 2, source_index=SOME, class_names=["frog", "ship"], **TWO)
        )
    assert "frog, ship" in str(e.value)


def test_a_class_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    worse = np.where(CLEAN.numpy() == 0, 1, CLEAN.numpy())
    noise = HumanNoise(str(write_npz(tmp_path / "labels.npz", {"worse": worse})))
    with pytest.raises(InputError, match=r"leaves \[20, 0\] samples"):
        of_two(noise)


def test_two_classes_are_compared_with_the_file_as_published(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "labels.npz", columns())
    moved = SOME_CLEAN.clone()
    moved[4] = 1 - moved[4]
    with pytest.raises(InputError, match="differ at 1 of 40 positions, first at 4"):
        HumanNoise(str(path), "worse").keeps(CleanSplit(moved, 2, source_index=SOME, **TWO))


def test_a_file_of_more_samples_than_were_published_is_refused(tmp_path: Path) -> None:
    path = str(write_npz(tmp_path / "labels.npz", {"worse": WORSE.numpy()}))
    arguments: dict[str, Any] = {"source_index": torch.arange(30), "source_size": 50}
    message = refusal(HumanNoise(path), CLEAN[:30], **arguments)
    assert "60 labels for 50 samples in 'worse'" in message


def test_the_twin_has_peoples_matrix_exactly_on_other_samples(tmp_path: Path) -> None:
    path = str(write_npz(tmp_path / "labels.npz", columns()))
    human, twin = HumanNoise(path, "worse", seed=3), HumanTwinNoise(path, "worse", seed=3)
    people, drawn = human.draw(CleanSplit(CLEAN, 3)), twin.draw(CleanSplit(CLEAN, 3))
    assert torch.equal(present(drawn.transition_matrix), present(people.transition_matrix))
    assert torch.equal(present(drawn.matrix_requested), present(people.transition_matrix))
    assert (drawn.kind, drawn.seed) == ("human_twin", 3)
    assert drawn.rate_requested == drawn.rate_realised == people.rate_realised
    assert not torch.equal(drawn.label, people.label)
    # Nothing else differs, and the seed alone decides.
    for part in ("val", "test"):
        assert torch.equal(twin.draw(CleanSplit(CLEAN, 3, part=part)).label,
                           human.draw(CleanSplit(CLEAN, 3, part=part)).label)  # fmt: skip
    assert torch.equal(
        HumanTwinNoise(path, "worse", seed=3).draw(CleanSplit(CLEAN, 3)).label, drawn.label
    )
    other = HumanTwinNoise(path, "worse", seed=4).draw(CleanSplit(CLEAN, 3))
    assert not torch.equal(other.label, drawn.label)
    kept = torch.arange(30)
    subset = twin.draw(CleanSplit(CLEAN[kept], 3, source_index=kept))
    expected = human.draw(CleanSplit(CLEAN[kept], 3, source_index=kept))
    assert torch.equal(present(subset.transition_matrix), present(expected.transition_matrix))


@pytest.mark.slow
def test_the_twins_wrong_labels_are_independent_of_peoples(tmp_path: Path) -> None:
    """Over seeds each sample of a class is wrong as often as any other of it."""
    path = str(write_npz(tmp_path / "labels.npz", columns()))
    wrong = torch.zeros(60, dtype=torch.float64)
    for seed in range(400):
        wrong += HumanTwinNoise(path, "worse", seed=seed).draw(CleanSplit(CLEAN, 3)).is_noisy
    rates = HumanNoise(path, "worse").draw(CleanSplit(CLEAN, 3)).per_class_rates
    # 400 draws of a share near 0.3: 0.1 is four standard deviations and more.
    assert ((wrong / 400 - present(rates)[CLEAN]).abs() < 0.1).all()


@pytest.fixture
def saved(tmp_path: Path) -> tuple[str, NoiseRecord]:
    record = SymmetricNoise(rate=0.3, seed=11).draw(CleanSplit(CLEAN, 3))
    record.save(tmp_path / "noise.npz")
    return str(tmp_path / "noise.npz"), record


def test_an_earlier_runs_labels_come_back(saved: tuple[str, NoiseRecord]) -> None:
    path, record = saved
    again = FileNoise(path, seed=99).draw(CleanSplit(CLEAN, 3))
    assert again.fingerprint == record.fingerprint
    assert again.summary() == {**record.summary(), "kind": "file"}


def test_an_earlier_runs_other_parts_follow_its_matrix(saved: tuple[str, NoiseRecord]) -> None:
    path, record = saved
    test = FileNoise(path, seed=99).draw(CleanSplit(CLEAN, 3, part="test"))
    assert torch.equal(present(test.matrix_requested), present(record.transition_matrix))
    assert torch.equal(present(test.per_class_rates), present(record.per_class_rates))
    assert (test.kind, test.seed, test.rate_requested) == ("file", 99, 0.3)
    assert not torch.equal(
        test.label, FileNoise(path, seed=98).draw(CleanSplit(CLEAN, 3, part="test")).label
    )


def test_an_earlier_run_that_left_samples_out_leaves_out_the_same(tmp_path: Path) -> None:
    record, index = of_two(HumanNoise(str(write_npz(tmp_path / "l.npz", columns())), "worse"))
    replace(record, source_index=index, dropped_outside_classes=7).save(tmp_path / "noise.npz")
    again, places = of_two(FileNoise(str(tmp_path / "noise.npz")))
    assert torch.equal(places, index)
    assert again.fingerprint == record.fingerprint
    assert again.dropped_outside_classes == 7


def test_an_earlier_run_on_other_data_is_refused(saved: tuple[str, NoiseRecord]) -> None:
    path, _ = saved
    moved = CLEAN.clone()
    moved[2] = 0
    assert "differ at 1 of 60 positions, first at 2 (file 2, data 0)" in refusal(
        FileNoise(path), moved
    )
    assert "60 labels for 59 samples" in refusal(FileNoise(path), CLEAN[:59])
    with pytest.raises(InputError, match="has 3 classes but the data have 4"):
        FileNoise(path).draw(CleanSplit(CLEAN, 4))
    assert "is not a file" in refusal(FileNoise(path + ".missing"))
