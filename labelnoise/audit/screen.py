"""The results of an audit on the screen, and the advice about the next step."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from labelnoise.report.tables.console import print_with_path

# The choices of conf/audit.yaml that differ from those of conf/config.yaml.
DEFAULTS = {"data": "image_folder", "model": "cnn"}
# Options that a run does not have, or that belong to the directory of the audit.
AUDIT_ONLY = ("folds", "jobs", "baseline", "name", "rerun", "report", "data.corrections")
# Below this accuracy out of fold, the estimates say more about the network than about the labels.
WEAK = 0.6


def print_audit(found: Mapping[str, Any], path: Path) -> None:
    """Print the estimates, the most confused pair of classes, the files and the advice."""
    title = f"audit of {found['samples']:,} labels in {found['seconds']:.0f} s"
    table = Table(show_header=False, box=None, padding=(0, 2), title=title)
    for name, value in _rows(found):
        table.add_row(name, escape(value))
    print_with_path(table, path / "suspects.csv")
    console = Console()
    for line in advice(found, path):
        console.print(escape(line), soft_wrap=True)


def _rows(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    wrong, n = found["probably_wrong"], found["samples"]
    yield "labels probably wrong", f"{wrong:,} of {n:,} (estimated probability above 1/2)"
    yield "estimated share of wrong labels", f"{found['noise_rate']:.1%}"
    yield "agreement out of fold", f"{found['out_of_fold_accuracy']:.1%} of the given labels"
    for pair in found["confused"][:3]:
        name = f"  '{pair['given']}', suggested '{pair['suggested']}'"
        yield name, f"about {pair['labels']:.0f} labels"
    if baseline := found["baseline"]:
        agreement, rho = baseline["out_of_fold_accuracy"], baseline["rank_correlation"]
        yield "baseline", f"agrees with {agreement:.1%}; rank correlation with the list {rho:.2f}"
    if duplicates := found["duplicates"]:
        yield "equal samples", _groups(duplicates, "exact")
        yield "nearly equal images", _groups(duplicates, "near")
        if duplicates["also_in_test"]:
            yield "also in the test set", f"{duplicates['also_in_test']:,} samples"
    for reason, count in found["not_audited"].items():
        if count:
            yield f"not audited, {reason.replace('_', ' ')}", f"{count:,} samples"
    if truth := found["truth"]:
        yield "true share of wrong labels", f"{truth['noise_rate']:.1%}"
        yield "average precision of the ranking", f"{truth['average_precision']:.3f}"


def _groups(duplicates: Mapping[str, int], kind: str) -> str:
    groups, conflicting = duplicates[f"{kind}_groups"], duplicates[f"{kind}_conflicting_groups"]
    return f"{groups:,} groups, {conflicting:,} with different labels"


def advice(found: Mapping[str, Any], path: Path) -> list[str]:
    """The next steps, with their commands."""
    lines = []
    if found["out_of_fold_accuracy"] < WEAK:
        lines.append(
            f"The networks agree with only {found['out_of_fold_accuracy']:.0%} of the labels. The "
            "ranking can be used, but the estimated probabilities are probably too high. Train "
            "longer (max_epochs=) or use a larger model."
        )
    lines.append(
        "Review the first suspects. Accepting all suggestions can make the labels worse, and "
        "dropping the suspects without looking at them can make the network worse."
    )
    if found["folds"] is not None:
        lines.append(f"  python -m labelnoise.report review {shlex.quote(str(path))}")
        lines.append("Then train with your corrections:")
        lines.append(f"  python run.py {_words(found['overrides'])}")
    return lines


def _words(overrides: Sequence[str]) -> str:
    """The options of run.py, which has other defaults, for a run with the corrections.

    Corrections of the audit stay, and corrections.csv is applied after them.

    Example:
        >>> _words(["data=digits", "model=cnn", "folds=3", "data.corrections=a.csv"])
        "data=digits model=cnn 'data.corrections=[a.csv,corrections.csv]'"
    """
    by_key = {word.partition("=")[0]: word for word in overrides}
    kept = [w for k, w in by_key.items() if k not in AUDIT_ONLY and not k.startswith("hydra.")]
    before = by_key.get("data.corrections", "").partition("=")[2].strip("[]")
    files = f"[{before},corrections.csv]" if before not in ("", "null") else "corrections.csv"
    defaults = [f"{key}={value}" for key, value in DEFAULTS.items() if key not in by_key]
    return shlex.join([*defaults, *kept, f"data.corrections={files}"])
