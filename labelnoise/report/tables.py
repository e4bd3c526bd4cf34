"""Tables on the screen: one run's outcome, and many runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def print_summary(summary: Mapping[str, Any], path: Path) -> None:
    """Print stages, accuracies and where the results lie."""
    table = Table(show_header=False, box=None, padding=(0, 2), title=_headline(summary))
    for name, value in _rows(summary):
        table.add_row(name, value)
    table.add_row("results", str(path))
    Console().print(table)


def _headline(summary: Mapping[str, Any]) -> str:
    status = str(summary["status"]).replace("_", " ")
    return f"{status} at step {summary['step']:,} in {summary['seconds']:.0f} s"


def _rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    noise, stages, final = summary["noise"], summary["stages"], summary["final"]
    card = summary["report_card"]
    rows = [
        ("label noise", f"{noise['kind']}, {_percent(noise['rate_realised'])} of the labels wrong"),
        ("all clean samples fitted", _step(stages["clean_fit_step"])),
        ("noise overtakes signal", _step(stages["crossing_step"])),
        ("all noisy samples memorized", _step(stages["memorized_step"])),
        ("training accuracy, clean samples", _percent(final["train/acc_clean"])),
        ("training accuracy, noisy samples", _percent(final["train/acc_noisy"])),
        ("test accuracy", _percent(final["test/acc"])),
        ("test accuracy, noisy labels", _percent(final["test/acc_noisy_labels"])),
    ]
    for name, entry in card.items():
        if entry is not None:
            where = f"step {entry['step']:,}" if "step" in entry else "last evaluations"
            rows.append((f"  test accuracy, {name}", f"{_percent(entry['test_acc'])} ({where})"))
    for technique, report in summary["techniques"].items():
        rows.append((technique, _technique(report)))
    return rows


def _technique(report: Mapping[str, Any]) -> str:
    if "reason" in report:
        return str(report["reason"])
    first = report.get("first")
    if first is None:
        return "no selection was made"
    return (
        f"kept {first['kept']} samples at step {first['step']:,}, "
        f"precision {first['precision']:.3f}, recall {first['recall']:.3f}"
    )


def _step(step: int | None) -> str:
    return "not reached" if step is None else f"step {step:,}"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.2f} %"


def print_sweep(rows: Sequence[Mapping[str, str]], title: str) -> None:
    """Print one line per setting; all rows have the same columns."""
    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
