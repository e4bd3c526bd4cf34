"""Techniques side by side under one rule: which network each number comes from stands above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labelnoise.errors import InputError
from labelnoise.report.loaded import LoadedRun, load_run
from labelnoise.report.sweep import by_setting, mean_and_range, settings

Summary = Mapping[str, Any]


def _card(rule: str) -> Callable[[Summary], float | None]:
    return lambda summary: _percent((summary["report_card"].get(rule) or {}).get("test_acc"))


def _final(name: str) -> Callable[[Summary], float | None]:
    return lambda summary: _percent(summary["final"].get(name))


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


# What a row says of every technique, in percent.
COLUMNS: dict[str, Callable[[Summary], float | None]] = {
    "kept": _final("test/acc"),
    "last": _card("last"),
    "val loss selected": _card("val_selected"),
    "val acc selected": _card("val_acc_selected"),
    "memorized": _final("train/memorized_fraction"),
    "(oracle best)": _card("oracle_best"),
}
EXPLANATION = """\
Test accuracy in %, mean over seeds [least, most]: of the network that the technique kept, of the
last one, and of those with the lowest loss and the highest accuracy on noisy validation data.
The oracle's choice among all networks of a run stands apart: nobody without clean test data can
make it. memorized: the share of wrong labels that the kept network predicts, in %. time: seconds
of a run, as a multiple of plain training's. knows: what was used that nobody with noisy data
knows."""


def report_comparison(sweeps: Sequence[Path]) -> str:
    """Markdown tables of the finished runs in some sweeps, a table a setting and a row a technique.

    Args:
        sweeps: directories with a run in each of their folders.

    Raises:
        InputError: a directory without a finished run.
    """
    runs = []
    for sweep in sweeps:
        found = sorted(sweep.glob("*/summary.json"))
        if not found:
            raise InputError(f"{sweep} holds no finished runs: give the directories of sweeps")
        runs += [load_run(path.parent) for path in found]
    # A sweep's own name says nothing about the setting.
    groups = by_setting(runs, lambda run: run.summary, compared=("technique", "name"))
    tables = [_table(name, members) for name, members in groups.items()]
    return "\n\n".join([EXPLANATION, *tables])


def technique_of(summary: Summary) -> str:
    """What was typed about techniques, "gce technique.gce.q=0.5" say; "none" where nothing was."""
    typed = settings(summary)
    options = [f"{k}={v}" for k, v in typed.items() if k.startswith("technique.")]
    return " ".join([typed.get("technique", "none"), *options])


def _table(name: str, members: Sequence[LoadedRun]) -> str:
    rows: dict[str, list[Summary]] = {}
    for run in members:
        rows.setdefault(technique_of(run.summary), []).append(run.summary)
    plain = _seconds(rows["none"]) if "none" in rows else None
    header = [name, "runs", *COLUMNS, "time", "knows"]
    lines = [header, ["---"] * len(header)]
    for technique, runs in rows.items():
        shown = [mean_and_range(map(percent, runs), digits=3) for percent in COLUMNS.values()]
        time = f"{_seconds(runs) / plain:.2f}" if plain else ""
        knows = sorted({fact for run in runs for fact in run.get("oracle_knowledge", ())})
        lines.append([technique, str(len(runs)), *shown, time, ", ".join(knows)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _seconds(members: Sequence[Summary]) -> float:
    return sum(s["seconds"] for s in members) / len(members)
