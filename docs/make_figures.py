"""Run the commands that README and docs name, and put their figures and numbers into place.

python docs/make_figures.py two_stages stages          those two
python docs/make_figures.py --cifar10 data             all, with CIFAR-10 found in data/
python docs/make_figures.py --keep outputs/readme ...  keep the runs there, and go on after a kill

Figures go to docs/figures, numbers to docs/measured.json, and from there into the pages' tables.
Tests compare the pages with docs/measured.json, and that with a run of the same command.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MEASURED = ROOT / "docs" / "measured.json"
PAIR = "data=cifar10_pair data.root={cifar10} data.verify=false data.download=false noise_rate=0.2"
CIFAR = "data.root={cifar10} data.verify=false data.download=false"

Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """One command and what the pages take from it.

    Attributes:
        command: what follows ``python``, without output_dir and name.
        figures: the picture in docs/figures, by the path that the command leaves it at.
        rows: the lines of a table; each reads one number from a run's summary.
        columns: the columns of that table, by the technique that was typed.
        page: the page that holds the table, between markers of the recipe's name.
    """

    command: str
    figures: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Callable[[Summary], Any]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    page: str = "README.md"

    @property
    def needs_cifar10(self) -> bool:
        return "{cifar10}" in self.command


def _at(*keys: str) -> Callable[[Summary], Any]:
    def read(summary: Summary) -> Any:
        node: Any = summary
        for key in keys:
            node = (node or {}).get(key)
        return node

    return read


def _percent(read: Callable[[Summary], Any], complement: bool = False) -> Callable[[Summary], Any]:
    def value(summary: Summary) -> Any:
        number = read(summary)
        return None if number is None else 100 * (1 - number if complement else number)

    return value


ACCURACY = _at("final", "test/acc")
STAGES = {
    "all clean samples fitted, step": _at("stages", "clean_fit_step"),
    "memorization overtakes signal learning, step": _at("stages", "crossing_step"),
    "all noisy samples memorized, step": _at("stages", "memorized_step"),
    "training ends, step": _at("step"),
    "wrong labels fitted at the end, %": _percent(_at("final", "train/acc_noisy")),
    "test error (clean labels) at the end, %": _percent(ACCURACY, complement=True),
    "selection: precision": _at("selection", "first", "precision"),
    "selection: recall": _at("selection", "first", "recall"),
}
HELD_OUT = {
    "test accuracy of the network kept, %": _percent(ACCURACY),
    "wrong labels fitted, %": _percent(_at("final", "train/acc_noisy")),
    "best on test data (an oracle's choice), %": _percent(
        _at("report_card", "oracle_best", "test_acc")
    ),
}
NAMES = {"none": "plain", "early_stop": "`early_stop`", "sample_selection": "`sample_selection`"}
SEEDS = ",".join(map(str, range(12)))

RECIPES: dict[str, Recipe] = {
    "two_stages": Recipe(
        "run.py experiment=two_stages", {"two_stages": "figures/two_stages.png"}
    ),
    "stages": Recipe(
        f"run.py -m seed={SEEDS} technique=none,early_stop,sample_selection logger=none",
        rows=STAGES,
        columns=NAMES,
    ),
    "without_noise": Recipe(
        f"run.py -m seed={SEEDS} noise_rate=0 logger=none",
        rows={name: STAGES[name] for name in list(STAGES)[5:6]},
        columns={"none": "plain"},
    ),
    "pair": Recipe(f"run.py {PAIR}", {"pair": "figures/two_stages.png"}),
    "pair_early_stop": Recipe(
        f"run.py {PAIR} technique=early_stop", {"pair_early_stop": "figures/two_stages.png"}
    ),
    "pair_seeds": Recipe(
        f"run.py -m seed=0,1,2 technique=none,early_stop {PAIR} logger=none",
        rows=HELD_OUT,
        columns={name: NAMES[name] for name in ("none", "early_stop")},
    ),
    "clean_priority": Recipe(
        f"run.py experiment=clean_priority {CIFAR}",
        {
            "clean_priority": "figures/clean_priority.png",
            "gradients": "3/figures/gradients.png",
            "dynamics": "3/figures/dynamics.png",
        },
    ),
    "stoppers": Recipe(
        f"run.py experiment=stoppers {CIFAR} data.per_class=1000 max_epochs=25 threads=1",
        {"stoppers": "figures/stoppers.png"},
    ),
    **{
        name: Recipe(
            f"phase_diagram.py diagram={name}", {name: "figures/{quantity}.png"}
        )
        for name in (
            "asymmetric_map", "benign_map", "benign_public", "dimension_map", "early_stop_gain",
            "harm_map", "selection_map", "stage_map", "t1_scaling",
        )
    },
}  # fmt: skip


def run(name: str, recipe: Recipe, outputs: Path, cifar10: str | None) -> Path:
    """Run one command in ``outputs/NAME``; a second call reads what is there."""
    words = recipe.command.format(cifar10=cifar10).split()
    place = [f"output_dir={outputs}", f"name={name}"]
    subprocess.run([sys.executable, *words, *place], check=True, cwd=ROOT)
    return outputs / name


def summaries(directory: Path) -> list[Summary]:
    """Those of a run, or of the runs of a sweep in their order."""
    jobs = sorted((p for p in directory.glob("*/") if p.name.isdigit()), key=lambda p: int(p.name))
    return [json.loads((job / "summary.json").read_text()) for job in jobs or [directory]]


def numbers(recipe: Recipe, found: Sequence[Summary]) -> dict[str, dict[str, list[Any]]]:
    """By column and row, the number of each run in the order of the seeds."""
    table: dict[str, dict[str, list[Any]]] = {}
    for summary in found:
        column = "+".join(summary["techniques"]) or "none"
        rows = table.setdefault(column, {name: [] for name in recipe.rows})
        for name, read in recipe.rows.items():
            value = read(summary)
            rows[name].append(round(value, 6) if isinstance(value, float) else value)
    return table


def cell(values: Sequence[Any]) -> str:
    """Mean and range; "never" where no run got there, and on how many where some did.

    Example:
        >>> cell([1, 2, 4]), cell([None, None]), cell([5, None]), cell([100.0, 100.0])
        ('2.333 [1, 4]', 'never', '5, on 1 of 2 seeds', '100')
    """
    known = [value for value in values if value is not None]
    if not known:
        return "never"
    mean, low, high = (f"{v:.4g}" for v in (sum(known) / len(known), min(known), max(known)))
    shown = mean if low == high else f"{mean} [{low}, {high}]"
    return (
        shown if len(known) == len(values) else f"{shown}, on {len(known)} of {len(values)} seeds"
    )


def table(recipe: Recipe, measured: Mapping[str, Mapping[str, Sequence[Any]]]) -> str:
    """The numbers as Markdown: a row a quantity, a column a technique."""
    columns = [column for column in recipe.columns if column in measured]
    header = ["", *(recipe.columns[column] for column in columns)]
    lines = [header, ["---"] * len(header)]
    for name in recipe.rows:
        cells = [cell(measured[column][name]) for column in columns]
        if name.startswith("selection"):  # the other techniques select nothing
            cells = ["" if shown == "never" else shown for shown in cells]
        lines.append([name, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def insert(text: str, name: str, content: str) -> str:
    """Put a table between the markers of its name.

    Raises:
        ValueError: the page has no such markers.
    """
    begin, end = f"<!-- measured: {name} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no markers {begin.strip()} ... {end.strip()}")
    return before + begin + "\n" + content + "\n" + end + after


def make(name: str, outputs: Path, cifar10: str | None) -> None:
    """Run one recipe and put its figures and numbers into place."""
    recipe = RECIPES[name]
    directory = run(name, recipe, outputs, cifar10)
    for figure, place in recipe.figures.items():
        (found,) = directory.glob(place.format(quantity="*"))
        shutil.copy(found, ROOT / "docs" / "figures" / f"{figure}.png")
    if recipe.rows:
        everything = json.loads(MEASURED.read_text()) if MEASURED.exists() else {}
        everything[name] = numbers(recipe, summaries(directory))
        MEASURED.write_text(json.dumps(everything, indent=1, sort_keys=True) + "\n")
        page = ROOT / recipe.page
        page.write_text(insert(page.read_text(), name, table(recipe, everything[name])))


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the commands of README and docs again.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(RECIPES)}")
    parser.add_argument("--cifar10", metavar="ROOT", help="where cifar-10-batches-py lies")
    parser.add_argument("--keep", metavar="DIR", help="keep the runs in this directory")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(RECIPES)):
        parser.error(f"no recipe {', '.join(unknown)}: there are {', '.join(RECIPES)}")
    names = options.names or list(RECIPES)
    left_out = [n for n in names if RECIPES[n].needs_cifar10 and options.cifar10 is None]
    if left_out:
        print(f"left out without --cifar10: {', '.join(left_out)}")
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(options.keep or folder).resolve()
        for name in names:
            if name not in left_out:
                make(name, outputs, options.cifar10 and str(Path(options.cifar10).resolve()))


if __name__ == "__main__":
    main()
