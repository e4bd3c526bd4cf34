"""The option ``score``: ``run.py`` returns this number, and a search optimizes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from labelnoise.errors import InputError

Name = Literal["val_acc", "val_loss", "test_acc"]


class Score(NamedTuple):
    """A metric of the network kept, as named in ``final`` of summary.json, and its direction."""

    metric: str
    direction: Literal["maximize", "minimize"]


# The labels of the validation samples are noisy, so a choice by these scores needs no clean data.
VALIDATION: dict[Name, Score] = {
    "val_acc": Score("val/acc", "maximize"),
    "val_loss": Score("val/loss", "minimize"),
}
SCORES = VALIDATION | {"test_acc": Score("test/acc", "maximize")}


def score_of(summary: Mapping[str, Any] | None, name: Name) -> float:
    """The score of a run; NaN without a summary, or without validation or test samples for it.

    Example:
        >>> score_of({"final": {"val/acc": 0.75, "test/acc": None}}, "val_acc")
        0.75
        >>> score_of({"final": {"val/acc": 0.75, "test/acc": None}}, "test_acc")
        nan
    """
    value = None if summary is None else summary["final"].get(SCORES[name].metric)
    return math.nan if value is None else float(value)


def check_search_score(name: str) -> None:
    """Refuse a search that would choose by test data.

    Raises:
        InputError: the score reads test data.
    """
    if name not in VALIDATION:
        raise InputError(
            f"score={name} reads test data, so a search by it would overstate the test accuracy of "
            f"its choice: write score={' or score='.join(VALIDATION)}"
        )
