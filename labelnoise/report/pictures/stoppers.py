"""The regret of each stopping rule against the oracle's choice, over many runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from labelnoise.files.tables import write_rows
from labelnoise.learner.history import History
from labelnoise.report.loaded import LoadedRun
from labelnoise.report.pictures.style import ALL, NOISY, SIGNAL, finish, new_figure
from labelnoise.stoppers import STOPPERS
from labelnoise.stoppers.shadow import is_measured

# The baseline of the rules: the last network of a run.
LAST = "last"
MOST_COLUMNS = 4


class Regret(NamedTuple):
    """The regret of a rule in one run.

    Attributes:
        points: test accuracy of the oracle's network minus test accuracy of the rule's network,
            times 100.
        step: the step of the rule's network.
        stopped: whether the rule would have stopped the run; if not, its network is the last one.
    """

    points: float
    step: int
    stopped: bool


def regrets(summary: Mapping[str, Any], history: History) -> dict[str, Regret]:
    """The regrets of the measured rules, in the order of ``STOPPERS``, and of the last network.

    Empty without test accuracies, with fewer than two rules, or if a technique stopped the run.

    Example:
        >>> card = {"last": {"gap": 3.0, "step": 9}, "stop_val_loss": {"gap": 1.0, "step": 4}}
        >>> history = History({9: {"val/loss": 1.0, "val/acc": 0.5}})
        >>> found = regrets({"report_card": card, "status": "finished"}, history)
        >>> found["val_loss"], found["val_acc"].stopped, found["last"].points
        (Regret(points=1.0, step=4, stopped=True), False, 3.0)
    """
    card = summary["report_card"]
    names = [name for name, stopper in STOPPERS.items() if is_measured(stopper, history)]
    if card["last"] is None or len(names) < 2 or summary["status"] != "finished":
        return {}
    found = {}
    for name in (*names, LAST):
        entry = card.get(f"stop_{name}")
        kept = card["last"] if entry is None else entry
        found[name] = Regret(kept["gap"], kept["step"], entry is not None)
    return found


def by_rule(members: Sequence[LoadedRun]) -> dict[str, list[Regret]]:
    """The regrets of several runs by rule, for the rules that all runs have."""
    found = [regrets(run.summary, run.history) for run in members]
    names = [name for name in found[0] if all(name in each for each in found)] if found else []
    return {name: [each[name] for each in found] for name in names}


def regret_table(settings: Mapping[str, Sequence[LoadedRun]]) -> dict[str, dict[str, str]]:
    """``mean [min, max]`` in points by setting and rule, with the number of runs never stopped."""
    tables = {name: by_rule(members) for name, members in settings.items()}
    rules = _rules(tables)
    return {
        name: {rule: _cell(rule, table[rule]) if rule in table else "" for rule in rules}
        for name, table in tables.items()
        if table
    }


def _rules(tables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The rules that any setting has, in the order of the table of rules."""
    return [rule for rule in (*STOPPERS, LAST) if any(rule in table for table in tables.values())]


def _cell(rule: str, found: Sequence[Regret]) -> str:
    points = [regret.points for regret in found]
    text = f"{np.mean(points):.2f}"
    if len(points) > 1:
        text += f" [{min(points):.2f}, {max(points):.2f}]"
    never = sum(not regret.stopped for regret in found)
    return f"{text}, never {never}/{len(found)}" if never and rule != LAST else text


def write_regrets(path: Path, settings: Mapping[str, Sequence[LoadedRun]]) -> None:
    """Write a row for every run and rule: setting, run, rule, step, points, stopped (1 or 0)."""
    rows = [
        {"setting": name, "run": run.directory.path.name, "rule": rule, **regret._asdict()}
        | {"stopped": int(regret.stopped)}
        for name, members in settings.items()
        for run in members
        for rule, regret in regrets(run.summary, run.history).items()
    ]
    write_rows(path, ["setting", "run", "rule", *Regret._fields], rows)


def draw_stoppers(settings: Mapping[str, Sequence[LoadedRun]]) -> Figure | None:
    """Regret by rule, with a panel per setting: every run, and mean and range over seeds.

    Open circles are runs that the rule never stopped; their last network counts. Rules with oracle
    knowledge are marked. None if no setting has regrets.

    Args:
        settings: the runs of all seeds by the name of the setting, such as
            "noise=symmetric noise_rate=0.2".
    """
    tables = {name: table for name, members in settings.items() if (table := by_rule(members))}
    if not tables:
        return None
    rules = _rules(tables)
    columns = _columns(list(tables))
    rows = -(-len(tables) // columns)
    figure = new_figure(2.6 + 2.7 * columns, 0.9 + rows * (0.75 + 0.3 * len(rules)))
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel, (name, table) in zip(axes.flat, tables.items(), strict=False):
        for y, rule in enumerate(rules):
            if rule in table:
                _draw_rule(panel, y, rule, table[rule])
        finish(panel, title="\n".join(name.split()) if len(name) > 30 else name)
        panel.set_axisbelow(True)
    for panel in axes.flat[len(tables) :]:
        panel.set_visible(False)
    first = axes[0, 0]
    first.set_yticks(range(len(rules)), [_label(rule) for rule in rules])
    first.set_ylim(len(rules) - 0.5, -0.5)
    first.set_xlim(left=0)
    figure.supxlabel("test accuracy below the oracle's epoch, points", fontsize=10)
    marks = first.plot([], [], "|", color=SIGNAL, ms=11, mew=2, label="mean over seeds")
    for filled, text in ((True, "a run"), (False, "never stopped: its last network")):
        marks += first.plot([], [], "o", label=text, **_circle(filled, NOISY))
    figure.legend(handles=marks, loc="outside upper center", ncol=3, fontsize=8.5)
    return figure


def _draw_rule(panel: Any, y: int, rule: str, found: Sequence[Regret]) -> None:
    points = [regret.points for regret in found]
    color = ALL if rule == LAST else NOISY
    panel.plot([min(points), max(points)], [y, y], "-", color=color, lw=2.5, alpha=0.35)
    for regret in found:
        filled = regret.stopped or rule == LAST
        # clip_on=False: circles of regret 0 are on the axis and would be cut.
        panel.plot(regret.points, y, "o", clip_on=False, **_circle(filled, color))
    panel.plot(np.mean(points), y, "|", color=SIGNAL, ms=11, mew=2, clip_on=False)


def _circle(filled: bool, color: str) -> dict[str, Any]:
    return {"ms": 5, "color": color, "mfc": color if filled else "white", "mew": 1.2}


def _label(rule: str) -> str:
    if rule == LAST:
        return "last epoch"
    knows = STOPPERS[rule].knows
    return f"{rule}\n(knows {knows})" if knows else rule


def _columns(names: Sequence[str]) -> int:
    """Number of columns: the settings that differ only in the last word, at most four.

    Example:
        >>> _columns(["noise=a noise_rate=1", "noise=a noise_rate=2", "noise=b noise_rate=1"])
        2
    """
    begin = names[0].rpartition(" ")[0]
    alike = [name for name in names if name.rpartition(" ")[0] == begin]
    return min(len(alike), MOST_COLUMNS)
