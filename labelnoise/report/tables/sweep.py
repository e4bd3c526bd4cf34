"""Tables of the runs of a sweep: a row for each run, and mean with range over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from labelnoise.report.tables.settings import by_setting, settings_of, telling_keys, without_seeds

if TYPE_CHECKING:  # which imports torch
    from labelnoise.report.loaded import LoadedRun

COLUMNS = {
    "clean fitted": ("stages", "clean_fit_step"),
    "memorization overtakes": ("stages", "crossing_step"),
    "memorized": ("stages", "memorized_step"),
    "dominance lost": ("stages", "dominance_lost_step"),
    "last step": ("step",),
    "noisy accuracy": ("final", "train/acc_noisy"),
    "test error": ("final", "test/acc"),
    "oracle best": ("report_card", "oracle_best", "test_acc"),
    "val selected": ("report_card", "val_selected", "test_acc"),
    "last": ("report_card", "last", "test_acc"),
    "precision": ("selection", "first", "precision"),
    "recall": ("selection", "first", "recall"),
    "suspects precision": ("suspects", "precision"),
    "suspects recall": ("suspects", "recall"),
    "AUC loss": ("suspects", "auc", "loss"),
    "AUC AUM": ("suspects", "auc", "aum"),
    "AUC wrong events": ("suspects", "auc", "wrong_events"),
}
ERRORS = {"test error"}


def sweep_rows(runs: Sequence[LoadedRun]) -> list[dict[str, Any]]:
    """A row for each run: its folder, the settings that differ, its seed and its measures."""
    found = [settings_of(run.config) for run in runs]
    keys = [*telling_keys(without_seeds(found)), "seed"]
    return [
        {
            "run": run.directory.path.name,
            **{key: settings[key] for key in keys if key in settings},
            **measures(run.summary),
        }
        for run, settings in zip(runs, found, strict=True)
    ]


def measures(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers of :data:`COLUMNS`; None if a run has none."""
    return {name: _look_up(summary, name) for name in COLUMNS}


def _look_up(summary: Mapping[str, Any], name: str) -> float | None:
    node: Any = summary
    for key in COLUMNS[name]:
        node = node.get(key) if isinstance(node, dict) else None
    return round(1 - node, 6) if name in ERRORS and node is not None else node


def over_seeds(runs: Iterable[LoadedRun]) -> dict[str, dict[str, str]]:
    """For each setting, ``mean [min, max]`` over seeds of every measure that any run has."""
    table = {}
    for name, members in by_setting(runs, lambda run: run.config).items():
        values = {m: [measures(member.summary)[m] for member in members] for m in COLUMNS}
        shown = {m: mean_and_range(numbers) for m, numbers in values.items()}
        table[name] = {"runs": str(len(members)), **shown}
    seen = {m for row in table.values() for m, value in row.items() if value}
    return {name: {m: v for m, v in row.items() if m in seen} for name, row in table.items()}


def mean_and_range(values: Iterable[float | None], digits: int = 4) -> str:
    """``0.012 [0.01, 0.015]``; only the number if all are equal, empty without numbers.

    Example:
        >>> mean_and_range([1.0, 2.0, None]), mean_and_range([3.0]), mean_and_range([None])
        ('1.5 [1, 2]', '3', '')
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    mean = f"{sum(known) / len(known):.{digits}g}"
    low, high = f"{min(known):.{digits}g}", f"{max(known):.{digits}g}"
    return mean if low == high else f"{mean} [{low}, {high}]"
