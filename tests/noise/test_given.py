"""Labels from files: the three formats, what is refused, and the parts nobody labelled."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labelnoise.errors import InputError
from labelnoise.noise import FileNoise, HumanNoise, NoiseRecord, SymmetricNoise, read_labels

CLEAN = torch.arange(3).repeat(20)
WORSE = SymmetricNoise(rate=0.3, seed=0).draw(CLEAN, 3).label
AGGRE = SymmetricNoise(rate=0.1, seed=1).draw(CLEAN, 3).label


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


FORMATS = {
    "labels.csv": write_csv,
    "labels.npz": write_npz,
    "labels.pt": write_pt,
    "old.pt": write_old_pt,
    "tensors.pt": write_tensors,
}
each_format = pytest.mark.parametrize(("name", "write"), FORMATS.items(), ids=list(FORMATS))


def refusal(noise: HumanNoise | FileNoise, clean: torch.Tensor = CLEAN, **arguments: Any) -> str:
    with pytest.raises(InputError) as error:
        noise.draw(clean, 3, **arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@each_format
def test_a_column_is_read_in_order(tmp_path: Path, name: str, write) -> None:
    path = write(tmp_path / name, columns())
    record = HumanNoise(str(path), "worse", seed=4).draw(CLEAN, 3)
    assert torch.equal(record.label, WORSE)
    assert (record.kind, record.seed, record.rate_requested) == ("human", 4, None)
    assert record.matrix_requested is None
    assert record.rate_realised == pytest.approx(0.3)


@each_format
def test_narrow_integers_are_read_as_well(tmp_path: Path, name: str, write) -> None:
    arrays = {key: values.astype(np.uint8) for key, values in columns().items()}
    path = write(tmp_path / name, arrays)
    assert torch.equal(HumanNoise(str(path), "aggre").draw(CLEAN, 3).label, AGGRE)


@each_format
def test_source_index_says_which_samples(tmp_path: Path, name: str, write) -> None:
    path = write(tmp_path / name, columns())
    index = torch.tensor([40, 3, 17, 59])
    record = HumanNoise(str(path), "worse").draw(CLEAN[index], 3, source_index=index)
    assert torch.equal(record.label, WORSE[index])


@each_format
def test_the_only_column_needs_no_name(tmp_path: Path, name: str, write) -> None:
    arrays = {"clean_label": CLEAN.numpy(), "given": WORSE.numpy(), "index": np.arange(60)}
    path = write(tmp_path / name, arrays)
    given = read_labels(path)
    assert given.column == "given"
    assert torch.equal(given.label, WORSE)
    assert given.clean_label is not None
    assert torch.equal(given.clean_label, CLEAN)
    assert torch.equal(HumanNoise(str(path)).draw(CLEAN, 3).label, WORSE)


@each_format
@pytest.mark.parametrize("column", [None, "worst"])
def test_a_choice_that_is_not_clear_lists_the_columns(
    tmp_path: Path, name: str, write, column: str | None
) -> None:
    path = write(tmp_path / name, columns())
    message = refusal(HumanNoise(str(path), column))
    assert "clean, aggre, worse" in message
    assert "noise.column=" in message
    assert str(column) in message or column is None


@each_format
def test_another_order_is_told_by_the_true_labels(tmp_path: Path, name: str, write) -> None:
    path = write(tmp_path / name, columns())
    moved = CLEAN.clone()
    moved[[5, 7, 9]] = (moved[[5, 7, 9]] + 1) % 3
    message = refusal(HumanNoise(str(path), "worse"), moved)
    assert "differ at 3 of 60 places, first at 5 (file 2, data 0)" in message


@each_format
def test_lengths_and_places_have_to_fit(tmp_path: Path, name: str, write) -> None:
    path = write(tmp_path / name, {"worse": WORSE.numpy()})
    assert "60 labels for 59 samples" in refusal(HumanNoise(str(path)), CLEAN[:59])
    index = torch.arange(1, 61)
    assert "places 1 to 60" in refusal(HumanNoise(str(path)), source_index=index)
    assert "places -1 to 58" in refusal(HumanNoise(str(path)), source_index=index - 2)


@each_format
def test_a_class_out_of_range_is_refused(tmp_path: Path, name: str, write) -> None:
    worse = WORSE.numpy().copy()
    worse[11] = 3
    path = write(tmp_path / name, {"worse": worse})
    message = refusal(HumanNoise(str(path)))
    assert "'worse'" in message
    assert "3 at place 11" in message
    # Only the samples asked for count.
    kept = torch.arange(11)
    assert len(HumanNoise(str(path)).draw(CLEAN[kept], 3, source_index=kept).label) == 11


@each_format
def test_values_that_are_no_integers_are_refused(tmp_path: Path, name: str, write) -> None:
    path = write(tmp_path / name, {"worse": WORSE.numpy().astype(np.float64)})
    assert "integer" in refusal(HumanNoise(str(path)))


@each_format
def test_an_index_out_of_order_is_refused(tmp_path: Path, name: str, write) -> None:
    path = write(tmp_path / name, {"index": np.arange(60)[::-1].copy(), "worse": WORSE.numpy()})
    assert "does not count 0, 1, 2" in refusal(HumanNoise(str(path)))


@pytest.mark.parametrize("name", ["labels.npz", "labels.pt"])
def test_columns_of_two_lengths_are_refused(tmp_path: Path, name: str) -> None:
    arrays = {"worse": WORSE.numpy(), "clean": CLEAN.numpy()[:50]}
    path = FORMATS[name](tmp_path / name, arrays)
    assert "60 values in 'worse' and 50 in 'clean'" in refusal(HumanNoise(str(path)))


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
    assert "is no file" in refusal(HumanNoise(str(tmp_path / "labels.npz")))
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


@pytest.mark.parametrize("name", ["labels.npz", "labels.pt", "old.pt"])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = FORMATS[name](tmp_path / name, columns())
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert "cannot be read" in refusal(HumanNoise(str(path), "worse"))


def test_a_pt_that_holds_no_dict_is_refused(tmp_path: Path) -> None:
    path = write_pt(tmp_path / "labels.pt", WORSE)
    assert "holds a Tensor" in refusal(HumanNoise(str(path)))


def test_other_parts_follow_the_files_matrix_in_any_order(tmp_path: Path) -> None:
    path = str(write_npz(tmp_path / "labels.npz", columns()))
    kept = torch.arange(30)
    noise, other = HumanNoise(path, "worse"), HumanNoise(path, "worse")
    before = noise.draw(CLEAN, 3, part="test")
    train = noise.draw(CLEAN[kept], 3, source_index=kept)
    after = noise.draw(CLEAN, 3, part="test", source_index=torch.arange(60) + 1_000)
    whole = other.draw(CLEAN, 3)
    assert torch.equal(before.label, after.label)
    assert torch.equal(before.matrix_requested, whole.transition_matrix)
    assert torch.equal(after.matrix_requested, whole.transition_matrix)
    assert not torch.equal(train.transition_matrix, whole.transition_matrix)
    # 20 samples a class, as in the file, so each class flips as often.
    assert torch.equal(before.per_class_rates, whole.per_class_rates)
    assert not torch.equal(before.label, whole.label)
    assert not torch.equal(before.label, noise.draw(CLEAN, 3, part="val").label)


def test_without_true_labels_the_train_draw_supplies_the_matrix(tmp_path: Path) -> None:
    path = str(write_csv(tmp_path / "labels.csv", {"worse": WORSE.tolist()}))
    noise = HumanNoise(path)
    assert "no column clean" in refusal(noise, part="test")
    train = noise.draw(CLEAN, 3)
    test = noise.draw(CLEAN, 3, part="test")
    assert torch.equal(test.matrix_requested, train.transition_matrix)


def test_of_a_file_with_more_classes_those_of_the_data_count(tmp_path: Path) -> None:
    path = str(write_npz(tmp_path / "labels.npz", columns()))
    record = HumanNoise(path, "worse").draw(torch.tensor([0, 1]), 2, part="test")
    counts = torch.zeros(2, 2, dtype=torch.float64)
    for true, given in zip(CLEAN.tolist(), WORSE.tolist(), strict=True):
        if true < 2 and given < 2:
            counts[true, given] += 1
    expected = counts / counts.sum(dim=1, keepdim=True)
    assert torch.allclose(record.matrix_requested, expected)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[str, NoiseRecord]:
    record = SymmetricNoise(rate=0.3, seed=11).draw(CLEAN, 3)
    record.save(tmp_path / "noise.npz")
    return str(tmp_path / "noise.npz"), record


def test_an_earlier_runs_labels_come_back(saved: tuple[str, NoiseRecord]) -> None:
    path, record = saved
    again = FileNoise(path, seed=99).draw(CLEAN, 3)
    assert again.fingerprint == record.fingerprint
    assert again.summary() == {**record.summary(), "kind": "file"}


def test_an_earlier_runs_other_parts_follow_its_matrix(saved: tuple[str, NoiseRecord]) -> None:
    path, record = saved
    test = FileNoise(path, seed=99).draw(CLEAN, 3, part="test")
    assert torch.equal(test.matrix_requested, record.transition_matrix)
    assert torch.equal(test.per_class_rates, record.per_class_rates)
    assert (test.kind, test.seed, test.rate_requested) == ("file", 99, 0.3)
    assert not torch.equal(test.label, FileNoise(path, seed=98).draw(CLEAN, 3, part="test").label)


def test_an_earlier_run_on_other_data_is_refused(saved: tuple[str, NoiseRecord]) -> None:
    path, _ = saved
    moved = CLEAN.clone()
    moved[2] = 0
    assert "differ at 1 of 60 places, first at 2 (file 2, data 0)" in refusal(
        FileNoise(path), moved
    )
    assert "60 labels for 59 samples" in refusal(FileNoise(path), CLEAN[:59])
    with pytest.raises(InputError, match="has 3 classes and the data 4"):
        FileNoise(path).draw(CLEAN, 4)
    assert "is no file" in refusal(FileNoise(path + ".missing"))
