"""The page of an audit."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labelnoise.audit.directory import AuditDirectory
from labelnoise.files.tables import read_rows
from labelnoise.learner.history import History
from labelnoise.report.html.blocks import (
    CYCLE,
    Block,
    Chart,
    Code,
    Curve,
    Facts,
    Page,
    Section,
    Table,
    Words,
    percent,
    points,
)
from labelnoise.report.html.run import matrix_block
from labelnoise.run_directory import RunDirectory

MOST_SUSPECTS, MOST_CLASSES = 40, 30
MOST_FOLDS = len(CYCLE)
# The columns of suspects.csv on the page.
COLUMNS = ("rank", "sample", "given_label", "suggested_label", "probability_wrong", "true_label")


def page_of_audit(folder: Path) -> Page:
    """The page of a finished audit.

    Raises:
        InputError: the audit is not finished or a file is damaged.
    """
    audit = AuditDirectory(RunDirectory(folder))
    found = audit.read()
    sections = [
        Section("What was found", _found(found)),
        Section("Suspicious labels", _suspects(audit, found)),
        Section("Confused classes", _confused(found)),
        *_duplicates(found),
        *_folds(audit, found),
        Section("Run it again", _again(audit, found)),
    ]
    return Page(folder.resolve().name, "audit", _lead(found), sections)


def _lead(found: Mapping[str, Any]) -> list[str]:
    how = (
        f"{found['folds']} networks were trained, each on the samples outside its fold."
        if found["folds"]
        else "The predictions came from a file."
    )
    lines = [
        f"The audit read {found['samples']:,} labels. {how}",
        f"It estimates that {percent(found['noise_rate'])} of the labels are wrong. "
        f"{found['probably_wrong']:,} labels are more probably wrong than right.",
    ]
    if truth := found.get("truth"):
        lines.append(
            f"The true labels are known: {percent(truth['noise_rate'])} of the labels are wrong, "
            f"and the ranking has an average precision of {truth['average_precision']:.3f}."
        )
    return lines


def _found(found: Mapping[str, Any]) -> list[Block]:
    facts = [
        ("labels", f"{found['samples']:,}"),
        ("estimated share of wrong labels", percent(found["noise_rate"])),
        ("labels probably wrong", f"{found['probably_wrong']:,}"),
        ("given labels predicted out of fold", percent(found["out_of_fold_accuracy"])),
        ("temperature of the predictions", f"{found['temperature']:.3g}"),
        *_counts("not audited", found["not_audited"]),
        *_counts("left out", found.get("data_left_out") or {}),
    ]
    blocks: list[Block] = [Facts(facts)]
    tables = {"truth": "Against the true labels", "baseline": "Baseline without a network"}
    for name, words in tables.items():
        if values := found.get(name):
            measured = [(key.replace("_", " "), _cell(value)) for key, value in values.items()]
            blocks.append(Table(("measure", "value"), measured, words))
    classes = sorted(found["by_class"].items(), key=lambda item: -(item[1]["wrong"] or 0))
    rows = [
        (name, f"{each['samples']:,}", percent(each["wrong"]))
        for name, each in classes[:MOST_CLASSES]
    ]
    left = f", the first {MOST_CLASSES} of {len(classes):,}" if len(classes) > MOST_CLASSES else ""
    header = ("given class", "labels", "estimated share wrong")
    return [*blocks, Table(header, rows, f"Classes by their estimated share of wrong labels{left}")]


def _counts(words: str, numbers: Mapping[str, int]) -> list[tuple[str, str]]:
    return [(f"{words}: {name.replace('_', ' ')}", f"{n:,}") for name, n in numbers.items()]


def _suspects(audit: AuditDirectory, found: Mapping[str, Any]) -> list[Block]:
    audit.run.manifest.check(audit.suspects)
    rows = read_rows(audit.suspects)[:MOST_SUSPECTS]
    names = [name for name in COLUMNS if rows and name in rows[0]]
    cells = [[_text(row[name]) for name in names] for row in rows]
    header = [name.replace("_", " ") for name in names]
    blocks: list[Block] = [
        Table(
            header, cells, f"The first {len(rows):,} of {found['samples']:,} rows of suspects.csv"
        ),
    ]
    if found["folds"]:
        command = f"python -m labelnoise.report review {shlex.quote(str(audit.run.path))}"
        blocks += [Words("This command writes a page for correcting the labels:"), Code(command)]
    return blocks


def _confused(found: Mapping[str, Any]) -> list[Block]:
    rows = [
        (pair["given"], pair["suggested"], f"{pair['labels']:,.1f}") for pair in found["confused"]
    ]
    caption = (
        "Estimated share of each given label (columns) among the samples of a true label (rows)"
    )
    return [
        Table(("given label", "suggested label", "expected number"), rows, "Largest confusions"),
        matrix_block(found["transition_matrix"], caption, [*found["by_class"]]),
    ]


def _duplicates(found: Mapping[str, Any]) -> list[Section]:
    numbers = found.get("duplicates")
    if not numbers:
        return []
    facts = [(key.replace("_", " "), f"{value:,}") for key, value in numbers.items()]
    words = (
        "Exact: equal inputs. Near: equal perceptual hashes. Conflicting: different given labels."
    )
    return [Section("Duplicates", [Words(words), Facts(facts)])]


def _folds(audit: AuditDirectory, found: Mapping[str, Any]) -> list[Section]:
    folders = [audit.run.path / f"fold_{k}" for k in range(found["folds"] or 0)]
    histories = [
        History.read_csv(RunDirectory(folder).metrics)
        for folder in folders
        if RunDirectory(folder).metrics.is_file()
    ][:MOST_FOLDS]
    charts = [
        Chart(title, curves, label)
        for metric, title, label in (
            ("val/acc", "Given labels predicted out of fold", "accuracy"),
            ("train/acc", "Training accuracy, given labels", "accuracy"),
        )
        if (curves := _curves(histories, metric))
    ]
    words = "A training accuracy near 1 means that the network memorizes wrong labels."
    return [Section("Training of the folds", [Words(words), *charts])] if charts else []


def _curves(histories: Sequence[History], metric: str) -> list[Curve]:
    series = [history.series(metric) for history in histories]
    return [
        Curve(f"fold {k}", CYCLE[k], points(steps, values), dashed=k % 2 == 1)
        for k, (steps, values) in enumerate(series)
        if len(steps)
    ]


def _again(audit: AuditDirectory, found: Mapping[str, Any]) -> list[Block]:
    versions = audit.run.manifest.section("versions")
    return [
        Code(shlex.join(["python", "audit.py", *map(str, found["overrides"])])),
        Facts(
            [
                ("duration", f"{found['seconds']:,.1f} s"),
                *((name, str(value)) for name, value in versions.items()),
                ("hash of the configuration", str(found["config_hash"])),
            ]
        ),
    ]


def _cell(value: Any) -> str:
    return "not known" if value is None else f"{value:.4g}"


def _text(cell: str) -> str:
    try:
        return cell if cell.isdigit() else f"{float(cell):.3g}"
    except ValueError:
        return cell
