"""Read the words of a label file as class names or class numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from labelnoise.errors import InputError

SHOWN = 5


def plain(name: str) -> str:
    """The name in Unicode's composed form (NFC), for comparing names.

    Some systems write an accented letter as one character, others as two.

    Example:
        >>> plain("cafe\\u0301") == "caf\\u00e9"
        True
    """
    return unicodedata.normalize("NFC", name)


def read_classes(
    words: Sequence[str], class_names: Sequence[str], source: str, samples: Sequence[str]
) -> tuple[list[int], str | None]:
    """Read the labels of a file either as class names or as class numbers.

    ========================  ======================================================================
    all are class names       read as names
    some are class names      refused
    none is a class name      read as numbers 0..K-1, or as names of the same value (1 for 01), if
                              only one is possible; refused if both are possible and differ
    ========================  ======================================================================

    Args:
        words: the n labels in the file.
        class_names: K names.
        source: the file, for messages.
        samples: n names of the samples, for messages.

    Returns:
        The n classes, and a line that says how the labels were read; None if they are names.

    Raises:
        InputError: a label is not a class, or the labels can be read in two ways.

    Example:
        >>> read_classes(["dog", "cat"], ["cat", "dog"], "labels.csv", ["a", "b"])
        ([1, 0], None)
        >>> classes, line = read_classes(["0", "1"], ["cat", "dog"], "labels.csv", ["a", "b"])
        >>> classes, line
        ([0, 1], "labels.csv: labels are read as numbers from 0: '0' is cat, '1' is dog")
    """
    words = [plain(word) for word in words]
    distinct = list(dict.fromkeys(words))
    by_name = {plain(name): k for k, name in enumerate(class_names)}
    by_number = {str(k): k for k in range(len(class_names))}
    by_value = _of_equal_value(distinct, class_names)
    named = [word in by_name for word in distinct]
    if all(named):
        return [by_name[word] for word in words], None
    if any(named):
        _refuse_unknown(words, by_name | by_number, class_names, source, samples)
        raise _two_readings(source, distinct, by_name, by_number, class_names)
    possible = {
        "the class names of their value": by_value,
        "numbers from 0": by_number,
    }
    possible = {k: table for k, table in possible.items() if all(w in table for w in distinct)}
    if not possible:
        _refuse_unknown(words, by_number, class_names, source, samples)
    if len({tuple(table[w] for w in distinct) for table in possible.values()}) > 1:
        raise _two_readings(source, distinct, by_value, by_number, class_names)
    reading, table = next(iter(possible.items()))
    line = f"{source}: labels are read as {reading}: {_shown(distinct, table, class_names)}"
    return [table[word] for word in words], line


def check_places(numbers: Iterable[int], class_names: Sequence[str], source: str) -> None:
    """Refuse numbers that can be positions of classes and also names of other classes.

    For example, eleven class folders 0 to 10 are sorted as 0, 1, 10, 2, ..., so the number 2 is the
    position of the class named 10.

    Raises:
        InputError: all numbers are also class names, and some name another class than their
            position.
    """
    distinct = [str(number) for number in sorted(set(numbers))]
    by_name = _of_equal_value(distinct, class_names)
    by_number = {str(k): k for k in range(len(class_names))}
    both = all(word in by_name and word in by_number for word in distinct)
    if both and any(by_name[word] != by_number[word] for word in distinct):
        ways = _ways(source, distinct, by_name, by_number, class_names)
        raise InputError(
            f"{ways}; rename the class folders so that they are sorted by number from 0 "
            "(00, 01, ...), or write names into data.labels"
        )


def _of_equal_value(words: Iterable[str], class_names: Sequence[str]) -> dict[str, int]:
    """Maps each word that is a number to the only class with a name of this value, as 01 for 1."""
    values = [_value(name) for name in class_names]
    wanted = {word: _value(word) for word in words}
    return {
        word: values.index(value)
        for word, value in wanted.items()
        if value is not None and values.count(value) == 1
    }


def _value(word: str) -> int | None:
    return int(word) if re.fullmatch("[0-9]{1,18}", word) else None


def _refuse_unknown(
    words: Sequence[str],
    known: Mapping[str, int],
    class_names: Sequence[str],
    source: str,
    samples: Sequence[str],
) -> None:
    unknown = [
        f"{word!r} for {sample!r}"
        for word, sample in zip(words, samples, strict=True)
        if word not in known
    ]
    if unknown:
        raise InputError(
            f"{source} has {len(unknown)} labels that are neither a name nor a number of the "
            f"classes {some(class_names)}, the first is {unknown[0]}"
        )


def _two_readings(
    source: str,
    distinct: Sequence[str],
    by_name: Mapping[str, int],
    by_number: Mapping[str, int],
    class_names: Sequence[str],
) -> InputError:
    return InputError(
        f"{_ways(source, distinct, by_name, by_number, class_names)}; write the class names of the "
        f"folders: {some(class_names)}"
    )


def _ways(
    source: str,
    distinct: Sequence[str],
    by_name: Mapping[str, int],
    by_number: Mapping[str, int],
    class_names: Sequence[str],
) -> str:
    return (
        f"{source} has labels that can be read in two ways: as class names "
        f"{_shown(distinct, by_name, class_names)}, as numbers from 0 "
        f"{_shown(distinct, by_number, class_names)}"
    )


def _shown(words: Sequence[str], table: Mapping[str, int], class_names: Sequence[str]) -> str:
    return some(
        [f"{w!r} is {class_names[table[w]] if w in table else 'none'}" for w in words], SHOWN
    )


def some(words: Sequence[str], most: int = 10) -> str:
    """The first words, and the number of further words.

    Example:
        >>> some(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
