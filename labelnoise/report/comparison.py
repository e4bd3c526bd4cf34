"""Techniques side by side under one rule: which network each number comes from stands above it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from labelnoise.errors import InputError
from labelnoise.report.loaded import LoadedRun, load_run
from labelnoise.report.sweep import mean_and_range, settings

Summary = Mapping[str, Any]
# A setting and a technique as they were typed; runs that share both differ in the seed.
Cell = tuple[str, str]


def _card(rule: str) -> Callable[[Summary], float | None]:
    return lambda summary: (summary["report_card"].get(rule) or {}).get("test_acc")


def _final(name: str) -> Callable[[Summary], float | None]:
    return lambda summary: summary["final"].get(name)


# Percentages: what a row says of every technique.
COLUMNS: dict[str, Callable[[Summary], float | None]] = {
    "kept": _final("test/acc"),
    "last": _card("last"),
    "val selected": _card("val_selected"),
    "memorized": _final("train/memorized_fraction"),
    "(oracle best)": _card("oracle_best"),
}
EXPLANATION = """\
Test accuracy in %, mean over seeds [least, most]: of the network that the technique kept, of the
last one, and of the one with the lowest loss on noisy validation data. The oracle's choice among
all networks of a run stands apart: nobody without clean test data can make it. memorized: the share
of wrong labels that the kept network predicts, in %. time: seconds of a run, as a multiple of plain
training's. knows: what was used that nobody with noisy data knows."""


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
    tables = [_table(name, rows) for name, rows in by_cell(runs).items()]
    return "\n\n".join([EXPLANATION, *tables])


def by_cell(runs: Iterable[LoadedRun]) -> dict[str, dict[str, list[Summary]]]:
    """Summaries by what was set beside the technique and the seed, then by technique."""
    keyed = [(_cell(run.summary), run.summary) for run in runs]
    words = [set(setting.split()) for (setting, _), _ in keyed]
    shared = set.intersection(*words)
    cells: dict[str, dict[str, list[Summary]]] = {}
    for (setting, technique), summary in keyed:
        name = " ".join(word for word in setting.split() if word not in shared) or "all runs"
        cells.setdefault(name, {}).setdefault(technique, []).append(summary)
    return cells


def _cell(summary: Summary) -> Cell:
    typed = settings(summary)
    technique = typed.pop("technique", "none")
    options = [f"{k}={v}" for k, v in typed.items() if k.startswith("technique.")]
    setting = [
        f"{k}={v}" for k, v in typed.items() if not k.startswith("technique.") and k != "seed"
    ]
    return " ".join(setting), " ".join([technique, *options])


def _table(name: str, rows: Mapping[str, Sequence[Summary]]) -> str:
    plain = _seconds(rows["none"]) if "none" in rows else None
    header = [name, "runs", *COLUMNS, "time", "knows"]
    lines = [header, ["---"] * len(header)]
    for technique, members in rows.items():
        shown = [mean_and_range(_percent(value(s)) for s in members) for value in COLUMNS.values()]
        time = f"{_seconds(members) / plain:.2f}" if plain else ""
        knows = sorted({fact for s in members for fact in s.get("oracle_knowledge", ())})
        lines.append([technique, str(len(members)), *shown, time, ", ".join(knows)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _seconds(members: Sequence[Summary]) -> float:
    return sum(s["seconds"] for s in members) / len(members)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
