"""Print the tables of docs/results.md from the sweeps that its commands made.

python docs/make_results.py outputs/clean_priority outputs/human_and_twin
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from labelnoise.report.loaded import LoadedRun, load_run
from labelnoise.report.tables.settings import by_setting
from labelnoise.report.tables.sweep import mean_and_range


def at_best(run: LoadedRun, metric: str) -> float:
    """A metric at the step of the best test accuracy."""
    return run.history.at(metric, run.summary["report_card"]["oracle_best"]["step"])


def epoch_reaching(run: LoadedRun, metric: str, level: float) -> float | None:
    """The first epoch from which a metric stays at ``level`` or above; None where it does not."""
    steps, values = run.history.series(metric)
    below = steps[values < level]
    later = steps[steps > below[-1]] if len(below) else steps
    last = run.summary["report_card"]["last"]
    return float(later[0] * last["epoch"] / last["step"]) if len(later) else None


def end(run: LoadedRun, metric: str) -> float:
    """A metric's last value."""
    return float(run.history.series(metric)[1][-1])


def card(rule: str, key: str) -> Callable[[LoadedRun], float | None]:
    """An entry of the report card; None where the rule never applied."""
    return lambda run: (run.summary["report_card"].get(rule) or {}).get(key)


def percent(value: Callable[[LoadedRun], float | None]) -> Callable[[LoadedRun], float | None]:
    """The same in percent."""
    return lambda run: None if value(run) is None else 100 * float(value(run) or 0)


def dominance(run: LoadedRun, when: str) -> float:
    """Dominance before the first step, at the best test accuracy, or its last ten mean."""
    values = run.history.series("gradients/dominance")[1]
    return {
        "start": float(values[0]),
        "best": at_best(run, "gradients/dominance"),
        "end": float(np.mean(values[-10:])),
    }[when]


TABLES: dict[str, dict[str, Callable[[LoadedRun], float | None]]] = {
    "two stages": {
        "clean accuracy above 75 % from epoch": lambda r: epoch_reaching(
            r, "train/acc_clean", 0.75
        ),
        "noisy accuracy above 75 % from epoch": lambda r: epoch_reaching(
            r, "train/acc_noisy", 0.75
        ),
        "clean accuracy at the best epoch, %": percent(lambda r: at_best(r, "train/acc_clean")),
        "noisy accuracy at the best epoch, %": percent(lambda r: at_best(r, "train/acc_noisy")),
        "noisy accuracy at the end, %": percent(lambda r: end(r, "train/acc_noisy")),
    },
    "report card, test accuracy in %": {
        "oracle best": percent(card("oracle_best", "test_acc")),
        "its epoch": card("oracle_best", "epoch"),
        "lowest noisy validation loss": percent(card("val_loss_selected", "test_acc")),
        "highest noisy validation accuracy": percent(card("val_acc_selected", "test_acc")),
        "last": percent(card("last", "test_acc")),
        "mean of the last ten": percent(card("mean_last_10", "test_acc")),
        "stopped by validation loss, patience 10": percent(card("stop_val_loss", "test_acc")),
        "stopped by dominance (knows the truth)": percent(card("stop_dominance", "test_acc")),
    },
    "clean-priority learning": {
        "dominance before training": lambda r: dominance(r, "start"),
        "at the best epoch": lambda r: dominance(r, "best"),
        "mean of the last ten epochs": lambda r: dominance(r, "end"),
        "cos(g_clean, g_noise) at the best epoch": lambda r: at_best(
            r, "gradients/cos_clean_noisy"
        ),
    },
    "finding the wrong labels, AUC": {
        "loss at the best epoch": lambda r: at_best(r, "dynamics/auc_loss"),
        "loss at the end": lambda r: end(r, "dynamics/auc_loss"),
        "AUM at the end": lambda r: end(r, "dynamics/auc_aum"),
        "wrong events at the end": lambda r: end(r, "dynamics/auc_wrong_events"),
        "low confidence at the end": lambda r: end(r, "dynamics/auc_low_confidence"),
        "suspects.csv: precision": lambda r: r.summary["suspects"]["precision"],
        "suspects.csv: recall": lambda r: r.summary["suspects"]["recall"],
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the tables of docs/results.md.")
    parser.add_argument("sweeps", nargs="+", type=Path)
    found: list[LoadedRun] = []
    for sweep in parser.parse_args().sweeps:
        runs = [load_run(path.parent) for path in sorted(sweep.glob("*/summary.json"))]
        found += runs
    settings = by_setting(found, lambda run: run.config)
    for title, rows in TABLES.items():
        print(f"\n| {title} | {' | '.join(settings)} |\n| --- |{' --- |' * len(settings)}")
        for name, value in rows.items():
            cells = [mean_and_range(map(value, runs)) for runs in settings.values()]
            print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
