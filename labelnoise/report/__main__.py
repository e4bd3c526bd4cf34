"""Show reports on finished runs.

python -m labelnoise.report suspects outputs/NAME
python -m labelnoise.report attribution outputs/NAME
python -m labelnoise.report attribution --help
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from labelnoise.config.command_line import one_line_errors
from labelnoise.errors import InputError

Argument = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        help: its description in one line.
        function: ``"module:name"``, imported only when it is called, so that --help does not import
            torch. It is called with the arguments by name and returns the text to print.
        arguments: the arguments of ``argparse.ArgumentParser.add_argument``.
    """

    help: str
    function: str
    arguments: Sequence[Argument]


RUN: Argument = ("run", {"metavar": "RUN_DIR", "type": Path, "help": "directory of a run"})
CHECKPOINT: Argument = (
    "--checkpoint",
    {
        "default": "selected",
        "metavar": "selected|last|PATH",
        "help": "weights of the network kept, of the last checkpoint, or of a file",
    },
)
ALLOW_TARGETS: Argument = (
    "--allow-targets",
    {
        "nargs": "+",
        "default": [],
        "metavar": "MODULE",
        "help": "your own modules that the run may use, as allow_targets of run.py",
    },
)
SEED: Argument = ("--seed", {"type": int, "default": 0, "help": "seed of all random draws"})

ATTRIBUTION = Command(
    "the pixels of noisy and clean training images that support a class",
    "labelnoise.attribution.maps:report_attribution",
    (
        RUN,
        CHECKPOINT,
        (
            "--samples",
            {"type": int, "default": 100, "help": "number of noisy and of clean images to explain"},
        ),
        (
            "--background",
            {"type": int, "default": 100, "help": "number of other clean images as background"},
        ),
        (
            "--method",
            {
                "default": "gradient_shap",
                "metavar": "METHOD",
                "help": "gradient_shap or deep_lift_shap",
            },
        ),
        (
            "--draws",
            {"type": int, "default": 200, "help": "number of draws of gradient_shap per image"},
        ),
        SEED,
        ALLOW_TARGETS,
    ),
)

SUSPECTS = Command(
    "the labels that are probably wrong, ranked by a score (writes suspects.csv)",
    "labelnoise.report.tables.suspects:report_suspects",
    (
        RUN,
        (
            "--score",
            {"default": "margin_loss", "help": "margin_loss, loss, aum, ..."},
        ),
        ("--top", {"type": int, "default": 10, "help": "number of labels to print"}),
    ),
)
REVIEW = Command(
    "a page for looking at suspicious labels and correcting them (writes review.html)",
    "labelnoise.audit.review:report_review",
    (
        RUN,
        ("--top", {"type": int, "default": 200, "help": "number of samples on the page"}),
        ALLOW_TARGETS,
    ),
)
FIGURES = Command(
    "the figures of a run, drawn again from its files",
    "labelnoise.report.pictures.run:report_figures",
    (RUN,),
)

COMPARISON = Command(
    "a Markdown table of techniques, from the runs of sweeps",
    "labelnoise.report.tables.comparison:report_comparison",
    (
        (
            "sweeps",
            {"metavar": "SWEEP_DIR", "type": Path, "nargs": "+", "help": "directories of sweeps"},
        ),
    ),
)

FOLDERS: Argument = (
    "folders",
    {"metavar": "DIR", "type": Path, "nargs": "+", "help": "directories of runs and of sweeps"},
)
METRIC: Argument = (
    "--metric",
    {
        "nargs": "+",
        "default": [],
        "metavar": "NAME",
        "help": "numbers in summary.json, as final.val/acc; default: accuracy of the network kept",
    },
)
FORMAT: Argument = (
    "--format",
    {"default": "markdown", "metavar": "FORMAT", "help": "markdown, latex or csv"},
)

RUNS = Command(
    "the settings and numbers of runs, one row for each run (writes runs.csv)",
    "labelnoise.report.tables.runs:report_runs",
    (
        FOLDERS,
        ("--to", {"type": Path, "metavar": "FILE", "help": "the file; None: DIR/runs.csv"}),
    ),
)
TABLE = Command(
    "means over seeds with standard deviations and 95 %% intervals",
    "labelnoise.report.tables.seeds:report_table",
    (FOLDERS, METRIC, FORMAT),
)
COMPARE = Command(
    "paired differences between folders or between values of an option, with intervals and tests",
    "labelnoise.report.tables.paired:report_compare",
    (
        FOLDERS,
        (
            "--by",
            {"metavar": "OPTION", "help": "compare the values of this option, as technique"},
        ),
        (
            "--baseline",
            {"metavar": "VALUE", "help": "value to compare with; None: value none, or the first"},
        ),
        METRIC,
        FORMAT,
    ),
)

PLOT = Command(
    "a metric of many runs with 95 %% intervals: curves over steps or an option, or a heat map",
    "labelnoise.report.pictures.metric:report_plot",
    (
        FOLDERS,
        (
            "--metric",
            {
                "metavar": "NAME",
                "help": "a column of metrics.csv, as test/acc; with --against a number in "
                "summary.json, as final.test/acc",
            },
        ),
        (
            "--against",
            {
                "nargs": "+",
                "default": [],
                "metavar": "OPTION",
                "help": "one option: curves over its values; two options: a heat map",
            },
        ),
        (
            "--to",
            {
                "type": Path,
                "metavar": "FILE",
                "help": "png, pdf or svg; None: DIR/figures/plot.png",
            },
        ),
    ),
)

HTML = Command(
    "a run, sweep, audit or phase diagram as one HTML page (writes report.html)",
    "labelnoise.doors.page:report_html",
    (
        ("folder", {"metavar": "DIR", "type": Path, "help": "its directory"}),
        ("--to", {"type": Path, "metavar": "FILE", "help": "the file; None: DIR/report.html"}),
    ),
)

SWEEP = Command(
    "the state of a sweep: counts, time left, failures and the best score so far",
    "labelnoise.sweeps.status:report_status",
    (
        (
            "sweep",
            {
                "metavar": "SWEEP_DIR",
                "type": Path,
                "nargs": "?",
                "help": "directory of a sweep; None: the newest one in outputs/",
            },
        ),
    ),
)

CACHE = Command(
    "the decoded images that data.cache=disk keeps on the disk",
    "labelnoise.report.tables.caches:report_caches",
    (
        (
            "--dir",
            {
                "type": Path,
                "metavar": "CACHE_DIR",
                "help": "data.cache_dir of the runs; None: the default folder",
            },
        ),
        (
            "--clear",
            {"action": "store_true", "help": "remove the caches that no process is writing"},
        ),
    ),
)

COMMANDS = {
    "attribution": ATTRIBUTION,
    "cache": CACHE,
    "compare": COMPARE,
    "comparison": COMPARISON,
    "figures": FIGURES,
    "html": HTML,
    "plot": PLOT,
    "review": REVIEW,
    "runs": RUNS,
    "suspects": SUSPECTS,
    "sweep": SWEEP,
    "table": TABLE,
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        message = re.sub(r": invalid int value: (.*)", r" must be a whole number, got \1", message)
        raise InputError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """The parser of all subcommands."""
    prog = "python -m labelnoise.report"
    top = _Parser(prog=prog, description=(__doc__ or "").splitlines()[0])
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.help,
            description=f"Show {command.help}.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        for flag, options in command.arguments:
            sub.add_argument(flag, **options)
    return top


def main(words: Sequence[str] | None = None) -> None:
    """Run a subcommand and print its text.

    Raises:
        InputError: an argument or the run cannot be used.
    """
    options = vars(parser().parse_args(words))
    module, _, function = COMMANDS[options.pop("command")].function.partition(":")
    print(getattr(import_module(module), function)(**options))


def command() -> None:
    """Run the subcommand in ``sys.argv``; an error ends with one line."""
    with one_line_errors():
        main()


if __name__ == "__main__":
    command()
