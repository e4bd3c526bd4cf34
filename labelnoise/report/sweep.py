"""After a multirun: one table over all runs, and the two-stages figure where they are few."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from labelnoise.csv_files import write_rows

Run = TypeVar("Run")

COLUMNS = {
    "clean fitted": ("stages", "clean_fit_step"),
    "noise overtakes": ("stages", "crossing_step"),
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


# The sweep under way in this process, from its start to its report.
_directory: Path | None = None


class SweepReport(Callback):
    """Hydra's callback: remembers where the sweep lies, for :func:`sweep_reported`."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        global _directory
        directory = Path(config.hydra.sweep.dir)
        if (directory / ".hydra").exists():
            # Hydra turns a callback's exceptions into warnings, but lets it exit.
            sys.stderr.write(f"error: {directory} holds a run: choose another name= to sweep\n")
            raise SystemExit(1)
        _directory = directory


@contextmanager
def sweep_reported() -> Iterator[None]:
    """Around a door: report on a sweep at its end, also when some of its runs failed.

    Hydra tells its callbacks of the end only where every run went well.
    """
    global _directory
    try:
        yield
    finally:
        directory, _directory = _directory, None
        if directory is not None:
            report_sweep(directory)


def report_sweep(directory: Path) -> None:
    """Write sweep.csv (a row a run) and the figure, print mean and range over seeds.

    Runs that did not finish are named, and the others are reported all the same.
    """
    jobs = sorted((p for p in directory.glob("*/") if p.name.isdigit()), key=lambda p: int(p.name))
    summaries = {
        job: json.loads((job / "summary.json").read_text())
        for job in jobs
        if (job / "summary.json").is_file()
    }
    if summaries:
        write_sweep(directory, summaries)
    unfinished = [job.name for job in jobs if job not in summaries]
    if unfinished:
        print(f"not finished in {directory}: run {', '.join(unfinished)}")


def write_sweep(directory: Path, summaries: Mapping[Path, Mapping[str, Any]]) -> None:
    """Write sweep.csv, stoppers.csv and the figures, and print the tables."""
    from labelnoise.report.loaded import load_run
    from labelnoise.report.stoppers_figure import regret_table, write_regrets
    from labelnoise.report.sweep_figures import write_sweep_figures
    from labelnoise.report.tables import print_sweep

    rows = [
        {"run": job.name, **settings(summary), **measures(summary)}
        for job, summary in summaries.items()
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_rows(directory / "sweep.csv", names, rows)
    print_sweep(over_seeds(list(summaries.values())), f"mean [min, max] over seeds, {directory}")
    runs = [load_run(job) for job in summaries]
    together = by_setting(runs, lambda run: run.summary)
    if regret := regret_table(together):
        print_sweep(regret, "points of test accuracy below the oracle's epoch, by stopping rule")
        write_regrets(directory / "stoppers.csv", together)
    write_sweep_figures(directory / "figures", runs)


def settings(summary: Mapping[str, Any]) -> dict[str, str]:
    """What was swept over, as typed: ``{"noise_rate": "0.2", "seed": "1"}``."""
    return dict(word.lstrip("+").split("=", 1) for word in summary["overrides"] if "=" in word)


def measures(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers of :data:`COLUMNS`; None where a run has none."""
    return {name: _look_up(summary, name) for name in COLUMNS}


def _look_up(summary: Mapping[str, Any], name: str) -> float | None:
    node: Any = summary
    for key in COLUMNS[name]:
        node = node.get(key) if isinstance(node, dict) else None
    return round(1 - node, 6) if name in ERRORS and node is not None else node


def by_setting(
    runs: Iterable[Run],
    summary_of: Callable[[Run], Mapping[str, Any]],
    compared: Collection[str] = (),
) -> dict[str, list[Run]]:
    """Runs that differ in the seed alone together, named by what differs between the groups.

    Runs that differ in the groups ``compared`` or their options, ``("technique",)`` say, are put
    together too.

    Example:
        >>> summaries = [{"overrides": [f"noise_rate={r}", f"seed={s}"]} for r in (0.1, 0.2)
        ...              for s in (0, 1)]
        >>> {name: len(group) for name, group in by_setting(summaries, lambda s: s).items()}
        {'noise_rate=0.1': 2, 'noise_rate=0.2': 2}
    """
    groups: dict[frozenset[tuple[str, str]], list[Run]] = {}  # whatever the order of the words
    named: dict[frozenset[tuple[str, str]], list[tuple[str, str]]] = {}
    for run in runs:
        typed = settings(summary_of(run)).items()
        apart = {"seed", *compared}
        words = [(k, v) for k, v in typed if k.split(".")[0] not in apart]
        named.setdefault(frozenset(words), words)
        groups.setdefault(frozenset(words), []).append(run)
    shared = frozenset.intersection(*groups) if groups else frozenset()
    return {
        " ".join(f"{k}={v}" for k, v in named[key] if (k, v) not in shared) or "all runs": members
        for key, members in groups.items()
    }


def over_seeds(summaries: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """By setting other than the seed, ``mean [min, max]`` of every measure that any run has."""
    table = {}
    for name, members in by_setting(summaries, lambda summary: summary).items():
        values = {m: [measures(member)[m] for member in members] for m in COLUMNS}
        shown = {m: mean_and_range(numbers) for m, numbers in values.items()}
        table[name] = {"runs": str(len(members)), **shown}
    seen = {m for row in table.values() for m, value in row.items() if value}
    return {name: {m: v for m, v in row.items() if m in seen} for name, row in table.items()}


def mean_and_range(values: Iterable[float | None], digits: int = 4) -> str:
    """``0.012 [0.01, 0.015]``; one number alone, and an empty text where there is none.

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
