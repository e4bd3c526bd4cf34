"""Print the tables of docs/own_data.md from audits of data with known true labels.

python docs/make_audit.py ranking outputs/worse outputs/digits
python docs/make_audit.py baseline outputs/worse
python docs/make_audit.py reliability outputs/worse --figure docs/figures/audit_reliability.png
python docs/make_audit.py epochs outputs/worse
python docs/make_audit.py review outputs/worse --first 500 --decision change --to corrections.csv
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import average_precision_score

from labelnoise.audit.evidence import Evidence
from labelnoise.audit.fold_evidence import evidence_of_folds
from labelnoise.audit.scores import Verdict, judge
from labelnoise.audit.write import findings, is_noisy
from labelnoise.data.corrections import COLUMNS, fingerprint_of
from labelnoise.dynamics.ranking import auc, margin_loss
from labelnoise.files.tables import read_rows, write_columns
from labelnoise.report.loaded import load_run, read_dynamics
from labelnoise.report.tables.suspects import rows_before_memorization

FIRST = (100, 500, 1000)


def read(audit: Path) -> tuple[Evidence, Bool[np.ndarray, " n"]]:
    """The evidence of an audit, and whether each label is wrong."""
    evidence = evidence_of_folds(audit, len(list(audit.glob("fold_*"))))
    noisy = is_noisy(evidence)
    assert noisy is not None, f"{audit}: the true labels are not known"
    return evidence, noisy


def row(*cells: object) -> None:
    """Print one row of a Markdown table."""
    shown = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
    print(f"| {' | '.join(shown)} |")


def ranking(audits: list[Path]) -> None:
    """The quality of the ranking, the time for it, and the quality of two other scores."""
    for audit in audits:
        evidence, noisy = read(audit)
        start = perf_counter()
        verdict = judge(evidence)
        seconds = perf_counter() - start
        truth = findings(evidence, verdict)["truth"]
        precision = [truth[f"precision_{m}"] for m in FIRST]
        others = [
            float(average_precision_score(noisy, evidence.dynamics[name]))
            for name in ("loss", "aum")
        ]
        quality = (truth["average_precision"], truth["auc"], *precision)
        row(audit.name, *quality, f"{seconds:.2f} s", *others)


def baseline(audits: list[Path]) -> None:
    """The quality of the ranking by the baseline, beside that of the margin loss."""
    for audit in audits:
        rows = read_rows(audit / "suspects.csv")
        noisy = np.array([r["given_label"] != r["true_label"] for r in rows])
        score, rank = (
            np.array([float(r[name]) for r in rows]) for name in ("baseline", "margin_loss")
        )
        ranked = noisy[np.argsort(-score, kind="stable")]
        found = json.loads((audit / "audit.json").read_text())["baseline"]
        precisions = (float(average_precision_score(noisy, s)) for s in (score, rank))
        first = (float(ranked[:m].mean()) for m in FIRST)
        row(audit.name, *precisions, auc(score, noisy), *first, found["out_of_fold_accuracy"])


def reliability(audits: list[Path], figure: Path | None) -> None:
    """The estimated probabilities beside the true shares."""
    curves = {}
    for audit in audits:
        evidence, noisy = read(audit)
        verdict = judge(evidence)
        found = findings(evidence, verdict)
        likely = verdict.wrong > 0.5
        taken = np.where(likely, verdict.suggested, evidence.label)
        row(
            audit.name,
            found["out_of_fold_accuracy"],
            found["noise_rate"],
            float(noisy.mean()),
            found["truth"]["calibration_error"],
            int(likely.sum()),
            float(noisy[likely].mean()),
            float(1 - noisy.mean()),
            float((taken == evidence.clean_label).mean()),
        )
        curves[audit.name] = curve(verdict, noisy)
    if figure is not None:
        draw(curves, figure)


def curve(verdict: Verdict, noisy: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "2 10"]:
    """Mean estimate and true share in ten groups of equal size."""
    groups = np.array_split(np.argsort(verdict.wrong, kind="stable"), 10)
    return np.array([[verdict.wrong[g].mean(), noisy[g].mean()] for g in groups]).T


def draw(curves: dict[str, Float[np.ndarray, "2 10"]], path: Path) -> None:
    """Draw the reliability curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="exact")
    for marker, (name, (estimate, share)) in zip("osD^vP*", curves.items(), strict=False):
        axes.plot(estimate, share, marker=marker, markersize=4, label=name)
    axes.set(
        xlabel="estimated probability that the label is wrong",
        ylabel="share of labels that are wrong",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.02),
        aspect="equal",
    )
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=110)


def epochs(audits: list[Path]) -> None:
    """Average precision of two scores, over all epochs and up to the lowest validation loss.

    The scores are those of single fold runs, for the samples that the run trained on.
    """
    for audit in audits:
        runs = [run_scores(path) for path in sorted(audit.glob("fold_*"))]
        row(audit.name, *(float(value) for value in np.mean(runs, axis=0)))


def run_scores(fold: Path) -> list[float]:
    """Number of epochs, epochs kept by the cut, and four average precisions."""
    run = load_run(fold)
    dynamics = read_dynamics(run.directory)
    margin = np.stack([np.asarray(r.margin, dtype=np.float64) for r in dynamics.log])
    assert dynamics.clean_label is not None
    noisy = dynamics.label != dynamics.clean_label
    cut = min(len(margin), rows_before_memorization(run.history, dynamics.log.step))
    scores = (-margin[:cut], -margin, margin_loss(margin[:cut]), margin_loss(margin))
    found = [float(average_precision_score(noisy, s.mean(0))) for s in scores]
    return [len(margin), cut, *found]


def review(audit: Path, first: int, decision: str, to: Path) -> None:
    """Decide on the first suspects as a person who knows the true labels would.

    With ``change`` a wrong label becomes the true label and a true label is kept. With ``drop`` all
    of them are dropped.
    """
    rows = read_rows(audit / "suspects.csv")
    data = fingerprint_of([r["sample"] for r in rows], [r["given_label"] for r in rows])
    table: dict[str, list[str]] = {name: [] for name in COLUMNS}
    wrong = 0
    for r in rows[:first]:
        is_wrong = r["given_label"] != r["true_label"]
        wrong += is_wrong
        made = "drop" if decision == "drop" else "change" if is_wrong else "keep"
        label = r["true_label"] if made == "change" else ""
        for name, value in zip(
            COLUMNS, (r["sample"], r["given_label"], made, label, data), strict=True
        ):
            table[name].append(value)
    write_columns(to, table)
    print(f"{to}: of the first {first} suspects {wrong} ({wrong / first:.1%}) are wrong")


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the tables of docs/own_data.md.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("ranking", "baseline", "reliability", "epochs"):
        command = commands.add_parser(name)
        command.add_argument("audits", nargs="+", type=Path)
        if name == "reliability":
            command.add_argument("--figure", type=Path, help="draw the curves to this file")
    command = commands.add_parser("review")
    command.add_argument("audit", type=Path)
    command.add_argument("--first", type=int, required=True, help="number of suspects")
    command.add_argument("--decision", choices=("change", "drop"), required=True)
    command.add_argument("--to", type=Path, required=True, help="the file to write")
    options = parser.parse_args()
    if options.command == "ranking":
        ranking(options.audits)
    elif options.command == "baseline":
        baseline(options.audits)
    elif options.command == "reliability":
        reliability(options.audits, options.figure)
    elif options.command == "epochs":
        epochs(options.audits)
    else:
        review(options.audit, options.first, options.decision, options.to)


if __name__ == "__main__":
    main()
