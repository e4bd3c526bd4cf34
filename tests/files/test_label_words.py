"""Names or numbers: the reading that is possible, or a refusal that shows both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from labelnoise.errors import InputError
from labelnoise.files.label_words import check_places, read_classes
from labelnoise.noise import CleanSplit, HumanNoise


def read(words: list[str], class_names: list[str]) -> tuple[list[int], str | None]:
    return read_classes(words, class_names, "labels.csv", [f"{k}.png" for k in range(len(words))])


@pytest.mark.parametrize(
    ("words", "class_names", "classes"),
    [
        (["dog", "cat"], ["cat", "dog"], [1, 0]),
        (["2", "1"], ["1", "2", "10"], [1, 0]),  # all are names: names
        (["10", "0", "2"], ["0", "1", "10", "2"], [2, 0, 3]),
        (["01", "02"], ["01", "02", "03"], [0, 1]),
        (["1", "0"], ["cat", "dog"], [1, 0]),  # none is a name: numbers
        (["0", "1", "2"], ["01", "02", "03"], [0, 1, 2]),  # 0 is no name of any class
        (["1", "2", "3"], ["01", "02", "03"], [0, 1, 2]),  # 3 is the number of none
        (["1", "0"], ["00", "01"], [1, 0]),  # both readings say the same
        (["7", "9"], ["007", "9x", "09"], [0, 2]),
    ],
)
def test_the_one_reading_that_is_possible(
    words: list[str], class_names: list[str], classes: list[int]
) -> None:
    read_as, line = read(words, class_names)
    assert read_as == classes
    assert (line is None) == set(words).issubset(class_names)


@pytest.mark.parametrize(
    ("words", "class_names", "names", "numbers"),
    [
        (["1", "2"], ["01", "02", "03"], "'1' is 01, '2' is 02", "'1' is 02, '2' is 03"),
        (["0", "1"], ["1", "2", "10"], "'0' is none, '1' is 1", "'0' is 1, '1' is 2"),
        (["cat", "1"], ["cat", "dog"], "'cat' is cat, '1' is none", "'cat' is none, '1' is dog"),
    ],
)
def test_two_readings_are_refused_and_shown(
    words: list[str], class_names: list[str], names: str, numbers: str
) -> None:
    with pytest.raises(InputError) as error:
        read(words, class_names)
    message = str(error.value)
    assert f"as class names {names}, as numbers from 0 {numbers}; write" in message
    assert "labels.csv" in message and "\n" not in message


@pytest.mark.parametrize(
    ("words", "class_names", "count"),
    [
        (["cat", "ant"], ["cat", "dog"], 1),
        (["0", "2"], ["cat", "dog"], 1),
        (["00", "01"], ["cat", "dog"], 2),
        (["1.0"], ["0", "1"], 1),
        (["1"], ["1x", "01", "001"], 0),  # two classes of this value
    ],
)
def test_what_is_no_class_is_named(words: list[str], class_names: list[str], count: int) -> None:
    if count == 0:
        assert read(words, class_names)[0] == [1]
        return
    with pytest.raises(InputError, match=f"{count} labels that are neither a name nor a number"):
        read(words, class_names)


def test_numbers_in_a_noise_file_are_not_taken_for_another_class(tmp_path: Path) -> None:
    names = sorted(str(k) for k in range(11))
    assert names[2] == "10"
    with pytest.raises(InputError, match="'2' is 2, .* as numbers from 0 .*'2' is 10"):
        check_places(range(11), names, "noise.csv")
    check_places(range(10), [f"{k:02}" for k in range(10)], "noise.csv")
    check_places([0, 1, 2], ["1", "2", "3"], "noise.csv")  # 0 is no name
    (tmp_path / "people.csv").write_text("label\n1\n2\n1\n")
    clean = torch.tensor([0, 1, 2])
    noise = HumanNoise(tmp_path / "people.csv")
    with pytest.raises(InputError, match="read in two ways"):
        noise.draw(CleanSplit(clean, 3, class_names=["1", "2", "3"]))
    (tmp_path / "people.csv").write_text("label,clean\n1,0\n2,1\n1,2\n")
    assert noise.draw(CleanSplit(clean, 3, class_names=["1", "2", "3"])).label.tolist() == [1, 2, 1]


@pytest.mark.parametrize("content", ["label\n1_0\n", "label,label\n0,1\n"])
def test_a_noise_file_that_python_would_read_otherwise(tmp_path: Path, content: str) -> None:
    (tmp_path / "people.csv").write_text(content)
    with pytest.raises(InputError) as error:
        HumanNoise(tmp_path / "people.csv", column="label").draw(CleanSplit(torch.tensor([0]), 20))
    assert "people.csv" in str(error.value)
