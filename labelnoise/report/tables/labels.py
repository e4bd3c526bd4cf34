"""What reports call labels: clean and noisy where the true ones are known, elsewhere as given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Summary = Mapping[str, Any]


def truth_known(summary: Summary) -> bool:
    """Whether a run knew which of its labels are wrong; runs of earlier versions said they did.

    Example:
        >>> truth_known({"noise": {"truth": "unknown"}}), truth_known({"noise": {}})
        (False, True)
    """
    return bool(summary.get("noise", {}).get("truth") != "unknown")


def labels_of_test(summaries: Iterable[Summary]) -> str:
    """What test accuracy is measured against in one or in several runs: "clean", "given" or both.

    Example:
        >>> labels_of_test([{"test_labels": "given"}]), labels_of_test([{}])
        ('given', 'clean')
    """
    return " or ".join(sorted({summary.get("test_labels", "clean") for summary in summaries}))


def labels_of_val(summary: Summary) -> str:
    """What validation accuracy is measured against: "noisy" labels, "given" where nobody knows.

    Example:
        >>> labels_of_val({"noise": {"truth": "unknown"}}), labels_of_val({"noise": {}})
        ('given', 'noisy')
    """
    return "noisy" if truth_known(summary) else "given"
