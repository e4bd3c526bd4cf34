"""Tables on the screen: the outcome of a run, and several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from labelnoise.report.tables.labels import truth_known

# Number of settings side by side in a terminal of 80 characters.
MOST_COLUMNS = 3
OVERTAKES = "memorization overtakes signal learning"


def print_summary(summary: Mapping[str, Any], path: Path) -> None:
    """Print stages, accuracies and the directory of the results."""
    table = Table(show_header=False, box=None, padding=(0, 2), title=_headline(summary))
    for name, value in _rows(summary):
        # Without coefficients the step is not known.
        if name != OVERTAKES or (path / "coefficients.npz").is_file():
            table.add_row(name, value)
    print_with_path(table, path)


def print_with_path(table: Table, path: Path) -> None:
    """Print a table, and the path of the results on a line of its own, so that it can be copied."""
    console = Console()
    console.print(table)
    console.print(f"  results: {path}", soft_wrap=True, markup=False, highlight=False)


def _headline(summary: Mapping[str, Any]) -> str:
    status = str(summary["status"]).replace("_", " ")
    return f"{status} at step {summary['step']:,} in {summary['seconds']:.0f} s"


def _rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    card = summary["report_card"]
    rows = [*_training_rows(summary), *_test_rows(summary)]
    # val_selected is one of the other two; its row has the metric in words.
    twice = f"{summary.get('selected_by', 'val/loss').replace('/', '_')}_selected"
    for name, entry in card.items():
        if entry is not None and not (name == twice and card.get("val_selected")):
            rows.append((f"  test accuracy, {name}", _card_entry(entry)))
    if suspects := summary.get("suspects"):
        wrong, listed = suspects["probably_wrong"], suspects["listed"]
        rows.append(("labels probably wrong", f"{wrong:,} of {listed:,}, see suspects.csv"))
    for technique, report in summary["techniques"].items():
        rows.append((technique, _technique(report)))
    return rows


def _training_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    noise, stages, final = summary["noise"], summary["stages"], summary["final"]
    if not truth_known(summary):
        return [
            ("labels", "as given, the true labels are unknown"),
            ("training accuracy", _percent(final["train/acc"])),
        ]
    return [
        ("label noise", f"{noise['kind']}, {_percent(noise['rate_realised'])} of the labels wrong"),
        ("all clean samples fitted", _step(stages["clean_fit_step"])),
        (OVERTAKES, _step(stages["crossing_step"])),
        ("all noisy samples memorized", _step(stages["memorized_step"])),
        ("training accuracy, clean samples", _percent(final["train/acc_clean"])),
        ("training accuracy, noisy samples", _percent(final["train/acc_noisy"])),
    ]


def _test_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    final, labels = summary["final"], summary.get("test_labels", "clean")
    if labels is None:
        return [("test accuracy", "no test images")]
    if labels == "given":
        return [("test accuracy, given labels", _percent(final["test/acc"]))]
    return [
        ("test accuracy", _percent(final["test/acc"])),
        ("test accuracy, noisy labels", _percent(final["test/acc_noisy_labels"])),
    ]


def _card_entry(entry: Mapping[str, Any]) -> str:
    if "evaluations" in entry:
        when = f"last {entry['evaluations']} evaluations"
    elif "epoch" in entry:
        when = f"epoch {entry['epoch']:g}"
    else:
        when = f"step {entry['step']:,}"
    marks = "oracle" if entry.get("oracle") else f"{entry['gap']:.2f} points below"
    if "knows" in entry:
        marks += f", knows {entry['knows']}"
    if entry.get("by") == "val/acc":
        marks += ", chosen by accuracy because the training loss is not cross-entropy"
    elif "by" in entry:
        marks += f", chosen by {entry['by']}"
    return f"{_percent(entry['test_acc'])} ({when}; {marks})"


def _technique(report: Mapping[str, Any]) -> str:
    if "reason" in report:
        return str(report["reason"])
    if "first" not in report:
        return "used in the training"
    first = report["first"]
    if first is None:
        return "no selection was made"
    judged = [f"{k} {first[k]:.3f}" for k in ("precision", "recall") if first[k] is not None]
    return ", ".join([f"kept {first['kept']} samples at step {first['step']:,}", *judged])


def _step(step: int | None) -> str:
    return "not reached" if step is None else f"step {step:,}"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.2f} %"


def print_sweep(settings: Mapping[str, Mapping[str, str]], title: str) -> None:
    """Print the measures: a column for each setting if they fit, else a row for each setting."""
    measures = list(next(iter(settings.values())))
    keys = {name.rpartition("=")[0] for name in settings}
    corner = keys.pop() if len(keys) == 1 else ""
    if "=" not in corner:  # one option was swept: its name is the corner, its values are the names
        settings = {name.removeprefix(f"{corner}="): row for name, row in settings.items()}
    if len(settings) <= MOST_COLUMNS:
        header = [corner, *settings]
        rows = [[m, *(row[m] for row in settings.values())] for m in measures]
    else:
        header = [corner, *measures]
        rows = [[name, *row.values()] for name, row in settings.items()]
    table = Table(title=escape(title))
    for column in header:
        table.add_column(escape(column), justify="right", overflow="fold")
    for cells in rows:
        table.add_row(*map(escape, cells))
    Console().print(table)
