"""A table of techniques; its columns are test accuracies of networks chosen by different rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labelnoise.report.loaded import LoadedRun, load_runs
from labelnoise.report.tables.labels import truth_known
from labelnoise.report.tables.settings import by_setting, technique_names
from labelnoise.report.tables.sweep import mean_and_range

Summary = Mapping[str, Any]


def _card(rule: str) -> Callable[[Summary], float | None]:
    return lambda summary: _percent((summary["report_card"].get(rule) or {}).get("test_acc"))


def _final(name: str) -> Callable[[Summary], float | None]:
    return lambda summary: _percent(summary["final"].get(name))


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


# The columns of a row, in percent.
COLUMNS: dict[str, Callable[[Summary], float | None]] = {
    "kept": _final("test/acc"),
    "last": _card("last"),
    "val loss selected": _card("val_loss_selected"),
    "val acc selected": _card("val_acc_selected"),
    "memorized": _final("train/memorized_fraction"),
    "(oracle best)": _card("oracle_best"),
}
# The columns that only runs with known true labels have.
BY_TRUTH = ("memorized",)
EXPLANATION = """\
Test accuracy in %, mean over seeds [least, most]: of the network that the technique kept, of the
last network, and of the networks with the lowest loss and the highest accuracy on noisy validation
data. (oracle best): the network with the highest test accuracy of the run; its choice needs clean
test data. memorized: the share of wrong labels that the kept network predicts, in %. time: seconds
of a run divided by the seconds of plain training; valid only if runs did not share the machine.
knows: oracle knowledge that the technique used."""
# If the true labels of all runs are unknown.
EXPLANATION_AS_GIVEN = """\
Test accuracy in % against the given test labels, mean over seeds [least, most]: of the network that
the technique kept, of the last network, and of the networks with the lowest loss and the highest
accuracy on validation data. (oracle best): the network with the highest test accuracy of the run;
its choice needs the test data. time: seconds of a run divided by the seconds of plain training;
valid only if runs did not share the machine. knows: oracle knowledge that the technique used."""


def report_comparison(sweeps: Sequence[Path], timed: bool = True) -> str:
    """Markdown tables of the finished runs of sweeps: a table per setting, a row per technique.

    Args:
        sweeps: directories with a run in each of their folders.
        timed: with a column of times, which is not valid if runs shared the machine.

    Raises:
        InputError: a directory without a finished run.
    """
    runs = load_runs(sweeps)
    techniques = technique_names([run.config for run in runs])
    named = [*zip(techniques, runs, strict=True)]
    groups = by_setting(named, lambda item: item[1].config, compared=("technique",))
    tables = [_table(name, members, timed) for name, members in groups.items()]
    known = any(truth_known(run.summary) for run in runs)
    return "\n\n".join([EXPLANATION if known else EXPLANATION_AS_GIVEN, *tables])


def _table(setting: str, members: Sequence[tuple[str, LoadedRun]], timed: bool) -> str:
    by_technique: dict[str, list[Summary]] = {}
    for technique, run in members:
        by_technique.setdefault(technique, []).append(run.summary)
    plain = _seconds(by_technique["none"]) if "none" in by_technique else None
    known = any(truth_known(run.summary) for _, run in members)
    columns = {name: f for name, f in COLUMNS.items() if known or name not in BY_TRUTH}
    rows = []
    for technique, runs in by_technique.items():
        row = {setting: technique, "runs": str(len(runs))}
        for name, percent in columns.items():
            row[name] = mean_and_range(map(percent, runs), digits=3)
        if timed:
            row["time"] = f"{_seconds(runs) / plain:.2f}" if plain else ""
        row["knows"] = ", ".join(
            sorted({fact for run in runs for fact in run.get("oracle_knowledge", ())})
        )
        rows.append(row)
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _seconds(members: Sequence[Summary]) -> float:
    return sum(s["seconds"] for s in members) / len(members)
