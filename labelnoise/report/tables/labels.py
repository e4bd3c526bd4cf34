"""The words for labels in reports: clean and noisy, or given if the true labels are unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Summary = Mapping[str, Any]


def truth_known(summary: Summary) -> bool:
    """Whether the true labels of a run are known; True for runs of versions without ``truth``.

    Example:
        >>> truth_known({"noise": {"truth": "unknown"}}), truth_known({"noise": {}})
        (False, True)
    """
    return bool(summary.get("noise", {}).get("truth") != "unknown")


def labels_of_test(summaries: Iterable[Summary]) -> str:
    """The labels for the test accuracy in one or several runs: "clean", "given", both or "no".

    Example:
        >>> labels_of_test([{"test_labels": "given"}]), labels_of_test([{}])
        ('given', 'clean')
    """
    found = {summary.get("test_labels", "clean") for summary in summaries}
    return " or ".join(sorted(found - {None})) or "no"


def labels_of_val(summary: Summary) -> str:
    """The labels for the validation accuracy: "noisy", or "given" if the truth is unknown.

    Example:
        >>> labels_of_val({"noise": {"truth": "unknown"}}), labels_of_val({"noise": {}})
        ('given', 'noisy')
    """
    return "noisy" if truth_known(summary) else "given"
