"""The page of a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from labelnoise.files.tables import read_rows
from labelnoise.learner.history import History
from labelnoise.noise import NoiseRecord
from labelnoise.report.html.blocks import (
    CYCLE,
    ROLES,
    Block,
    Chart,
    Code,
    Curve,
    Facts,
    Mark,
    Page,
    Picture,
    Section,
    Table,
    TimeLine,
    Words,
    percent,
    points,
)
from labelnoise.report.loaded import LoadedRun
from labelnoise.report.pictures import two_stages
from labelnoise.report.pictures.style import ALL, CLEAN, NOISY, TEST, many_decades
from labelnoise.report.tables.labels import labels_of_test, truth_known
from labelnoise.report.tables.settings import settings_of

Summary = Mapping[str, Any]

MOST_CLASSES = 20  # of a matrix on the page
MOST_SUSPECTS = 25
TRUTHS = {
    "made": "known, the run made the noise",
    "given": "known, from a file",
    "unknown": "not known",
}
CITATION = (
    "On the Role of Label Noise in the Feature Learning Process, ICML 2025 (arXiv 2505.18909), for "
    "the two stages; labelnoise for the measurements, with the versions above."
)


class Measured(NamedTuple):
    """A chart of a run: its title, its curves, the label of its y axis, its scale and a sentence.

    With ``complement`` it shows 1 - value.
    """

    title: str
    curves: Sequence[two_stages.Curve]
    y_label: str
    log_y: bool = False
    complement: bool = False
    words: str = ""


_Curve = two_stages.Curve
MAIN = (
    Measured(
        "Signal learning against noise memorization",
        two_stages.COEFFICIENTS,
        "coefficient",
        log_y=True,
        words="Memorization overtakes where a curve of ρ̄ crosses the curve of γ.",
    ),
    Measured(
        "Test error",
        two_stages.ERRORS[:1],
        "error",
        complement=True,
        words="A test error that rises again is the harm of memorization.",
    ),
    Measured(
        "Validation error",
        two_stages.ERRORS[1:],
        "error",
        complement=True,
        words="A user with noisy labels can measure this error.",
    ),
    Measured("Accuracy on the training samples", two_stages.ACCURACIES[:3], "accuracy"),
    Measured(
        "Loss",
        (
            _Curve("train/loss", "training, given labels", ALL),
            _Curve("val/loss", "validation, given labels", CLEAN),
            _Curve("test/loss", "test", TEST),
        ),
        "cross-entropy",
    ),
    Measured(
        "Selection of clean samples",
        (
            _Curve("selection/precision", "precision", CLEAN),
            _Curve("selection/recall", "recall", NOISY),
            _Curve("selection/f1", "F1", ALL),
        ),
        "share",
    ),
    Measured(
        "Dominance of the clean gradient",
        (_Curve("gradients/dominance", "|g_clean| / |g_noisy|", CLEAN),),
        "ratio",
        words="Below 1 the noisy samples move the weights more than the clean samples.",
    ),
)
# The words of the entries of the report card.
RULES = {
    "last": "last network",
    "mean_last_10": "mean of the last ten evaluations",
    "val_selected": "best noisy validation",
    "val_loss_selected": "lowest noisy validation loss",
    "val_acc_selected": "highest noisy validation accuracy",
    "oracle_best": "oracle: highest test accuracy",
}


def page_of_run(run: LoadedRun) -> Page:
    """The page of a finished run."""
    summary = run.summary
    sections = [
        Section("What happened", _happened(run)),
        Section("Curves", *_curves(run), "All other measurements"),
        Section("Which network to report", _report_card(summary)),
        Section("Label noise", _noise(run)),
        *_techniques(summary),
        *_suspects(run),
        *_figures(run),
        Section("Run it again", _again(run)),
    ]
    return Page(run.directory.path.resolve().name, "run", lead_of_run(run), sections)


def lead_of_run(run: LoadedRun) -> list[str]:
    """Sentences that say what was run and what came out."""
    summary, settings = run.summary, settings_of(run.config)
    techniques = ", ".join(summary["techniques"]) or "no technique"
    n = int(NoiseRecord.load(run.directory.noise).label.numel())
    lines = [
        f"The network {settings.get('model')} was trained on {n:,} samples of "
        f"{settings.get('data')} for {summary['step']:,} steps, with {techniques}.",
        _noise_words(summary),
    ]
    if (test := summary["final"].get("test/acc")) is not None:
        labels = labels_of_test([summary])
        line = f"The network that the run keeps has a test accuracy of {percent(test)}"
        line += f", measured with {labels} labels"
        best = summary["report_card"]["oracle_best"]
        lines.append(
            f"{line}. The highest test accuracy of the run was {percent(best['test_acc'])} at step "
            f"{best['step']:,}; a user without clean test labels cannot choose this network."
        )
    return lines


def _noise_words(summary: Summary) -> str:
    noise = summary["noise"]
    if not truth_known(summary):
        return "The true labels are not known. Accuracies are measured with the given labels."
    if not noise["rate_realised"]:
        return "No label is wrong."
    return f"{percent(noise['rate_realised'])} of the training labels are wrong ({noise['kind']})."


def _happened(run: LoadedRun) -> list[Block]:
    summary = run.summary
    events = events_of(summary)
    time = TimeLine(summary["step"], events, logarithmic=_log_steps(run.history))
    facts = [
        ("status", str(summary["status"]).replace("_", " ")),
        ("last step", f"{summary['step']:,}"),
        ("duration", f"{summary['seconds']:,.1f} s"),
        *_accuracies(summary),
    ]
    return [*([time] if events else []), Facts(facts)]


def events_of(summary: Summary) -> list[tuple[int, str, str, str]]:
    """The events of a run in the order of their steps; those of one step have one letter."""
    stages, card = summary["stages"], summary["report_card"]
    found: list[tuple[int | None, str, str]] = [
        (stages["clean_fit_step"], "all clean samples are fitted", "clean"),
        (stages["crossing_step"], "memorization overtakes signal learning", "signal"),
        (stages["memorized_step"], "all noisy samples are memorized", "noisy"),
        (stages["dominance_lost_step"], "the clean gradient loses its dominance", "c0"),
        ((card["oracle_best"] or {}).get("step"), "highest test accuracy (oracle)", "test"),
        ((card["val_selected"] or {}).get("step"), "best noisy validation", "all"),
    ]
    for name, report in summary["techniques"].items():
        if report.get("selected_step") is not None:
            found.append((report["selected_step"], f"{name} keeps this network", "c1"))
    together: dict[int, list[tuple[str, str]]] = {}
    for step, words, color in found:
        if step is not None:
            together.setdefault(int(step), []).append((words, color))
    return [
        (step, letter, "; ".join(words for words, _ in events), events[0][1])
        for letter, (step, events) in zip("ABCDEFGHIJ", sorted(together.items()), strict=False)
    ]


def _accuracies(summary: Summary) -> list[tuple[str, str]]:
    final = summary["final"]
    names = {
        "train/acc": "training accuracy",
        "train/acc_clean": "training accuracy, clean samples",
        "train/acc_noisy": "noisy samples fitted to their wrong label",
        "val/acc": "validation accuracy",
        "test/acc": f"test accuracy, {labels_of_test([summary])} labels",
        "test/acc_second": "test accuracy of the second network",
    }
    return [
        (words, percent(final[key])) for key, words in names.items() if final.get(key) is not None
    ]


def _log_steps(history: History) -> bool:
    return many_decades(history.series("train/acc")[0])


def _curves(run: LoadedRun) -> tuple[list[Block], list[Block]]:
    """The main charts, and a chart for each other group of metrics."""
    history, summary = run.history, run.summary
    marks = [Mark(step, letter, color) for step, letter, _, color in events_of(summary)]
    how: dict[str, Any] = {"log_x": _log_steps(history), "marks": marks}
    main = [chart for each in MAIN if (chart := _chart(each, history, summary, how))]
    shown = {curve.metric for each in MAIN for curve in each.curves}
    groups: dict[str, list[str]] = {}
    for name in history.names:
        if name not in shown:
            groups.setdefault(name.partition("/")[0], []).append(name)
    others = [
        Chart(f"{group}, {number + 1}" if len(names) > 5 else group, curves, "value", **how)
        for group, names in groups.items()
        for number, start in enumerate(range(0, len(names), 5))
        for curves in [
            [
                Curve(name.partition("/")[2], CYCLE[i % 8], points(*history.series(name)))
                for i, name in enumerate(names[start : start + 5])
            ]
        ]
    ]
    hint = Words(
        "Drag over a chart to zoom, and double-click to see all of it. The slider at the top of "
        "the page moves all charts to one step. The letters are those of the time line."
    )
    return [hint, *main], [*others]


def _chart(
    measured: Measured, history: History, summary: Summary, how: Mapping[str, Any]
) -> Chart | None:
    curves, shown = [], []
    for curve in measured.curves:
        steps, values = history.series(curve.metric)
        if len(steps):
            label = _without_tex(two_stages.label_of(curve, summary))
            y = 1 - values if measured.complement else values
            curves.append(Curve(label, ROLES[curve.color], points(steps, y), curve.style == "--"))
            shown += [value for value in y.tolist() if value > 0]
    if not curves:
        return None
    # An error that falls by a factor of ten and rises again is visible on a logarithmic axis only.
    deep = measured.complement and bool(shown) and max(shown) > 20 * min(shown)
    return Chart(
        measured.title,
        curves,
        measured.y_label,
        log_y=measured.log_y or deep,
        words=measured.words,
        **how,
    )


def _without_tex(label: str) -> str:
    """The label of a figure as plain text.

    Example:
        >>> _without_tex(r"max $\\bar\\rho$")
        'max ρ̄'
    """
    for tex, sign in (("$", ""), (r"\bar\rho", "ρ̄"), (r"\gamma", "γ")):
        label = label.replace(tex, sign)
    return label


def _report_card(summary: Summary) -> list[Block]:
    card = {k: v for k, v in summary["report_card"].items() if v is not None}
    if not card:
        return [Words("There are no test samples, so no network has a test accuracy.")]
    names = [*(name for name in card if name != "oracle_best"), "oracle_best"]
    rows = [_card_row(name, card[name]) for name in names]
    labels = labels_of_test([summary])
    caption = f"Test accuracy with {labels} labels, by the rule that chooses the network"
    return [
        Words(
            "Each rule chooses one network of this run. The rules read the training and the noisy "
            "validation samples only. The oracle in the last row reads test labels: its number is "
            "an upper bound and not a result."
        ),
        Table(
            ("rule", "test accuracy", "step", "points below the oracle", "reads"),
            rows,
            caption,
            apart=1,
        ),
    ]


def _card_row(name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    if name.startswith("stop_"):
        words = f"stopping rule {name.removeprefix('stop_')}"
    else:
        words = RULES.get(name, name)
    if "by" in entry:
        words += f" ({entry['by']})"
    step = f"{entry['step']:,}" if "step" in entry else f"from {entry['from_step']:,}"
    reads = "test labels" if entry.get("oracle") else entry.get("knows", "")
    return words, percent(entry["test_acc"]), step, f"{entry['gap']:.2f}", reads


def _noise(run: LoadedRun) -> list[Block]:
    noise = run.summary["noise"]
    facts = [
        ("kind", str(noise["kind"])),
        ("true labels", TRUTHS[noise["truth"]]),
        ("rate, requested", percent(noise["rate_requested"])),
        ("rate, realised", percent(noise["rate_realised"])),
        ("seed of the noise", str(noise["seed"])),
        ("fingerprint of the labels", str(noise["fingerprint"])),
    ]  # fmt: skip
    left = run.summary.get("data_left_out") or {}
    facts += [(f"left out: {name.replace('_', ' ')}", f"{count:,}") for name, count in left.items()]
    matrix = noise.get("transition_matrix")
    if matrix is None:
        return [Facts(facts)]
    caption = (
        "Share of each given label (columns) among the samples of a true label (rows), as realised"
    )
    return [Facts(facts), matrix_block(matrix, caption, _class_names(run))]


def matrix_block(
    matrix: Sequence[Sequence[float]], caption: str, names: Sequence[str] | None = None
) -> Block:
    """A transition matrix as a table; for many classes only its largest wrong entries."""
    k = len(matrix)
    names = list(names or map(str, range(k)))
    if k <= MOST_CLASSES:
        rows = [(names[i], *(f"{x:.3f}" for x in row)) for i, row in enumerate(matrix)]
        shades = [[None, *row] for row in matrix]
        return Table(("true label", *names), rows, caption, shades)
    wrong = sorted(
        ((matrix[i][j], i, j) for i in range(k) for j in range(k) if i != j), reverse=True
    )[:MOST_CLASSES]
    rows = [(names[i], names[j], f"{share:.3f}") for share, i, j in wrong]
    caption = f"The {len(rows)} largest of {k * (k - 1):,} wrong shares. {caption}"
    return Table(("true label", "given label", "share"), rows, caption)


def _class_names(run: LoadedRun) -> list[str] | None:
    samples = run.directory.dynamics / "samples.npz"
    return [str(name) for name in run.dynamics().class_names] if samples.is_file() else None


def _techniques(summary: Summary) -> list[Section]:
    if not summary["techniques"]:
        return []
    blocks: list[Block] = [
        Facts([("technique", name), *_flat(report)])
        for name, report in summary["techniques"].items()
    ]
    knowledge = (
        ", ".join(summary.get("oracle_knowledge") or ()) or "nothing that a user does not know"
    )
    return [Section("Techniques", [Words(f"The techniques were told: {knowledge}."), *blocks])]


def _flat(report: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in report.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}, ")
        elif not isinstance(value, list):
            rows.append((name, f"{value:,.4g}" if isinstance(value, float) else str(value)))
    return rows


def _suspects(run: LoadedRun) -> list[Section]:
    found = run.summary.get("suspects")
    if not found or not run.directory.suspects.is_file():
        return []
    lines = [
        f"{found['probably_wrong']:,} of {found['listed']:,} labels are probably wrong, by the "
        "predictions before memorization."
    ]
    if found.get("precision") is not None:
        lines.append(
            f"Of these, {percent(found['precision'])} are wrong (precision); they are "
            f"{percent(found['recall'])} of all wrong labels (recall)."
        )
    rows = read_rows(run.directory.suspects)[:MOST_SUSPECTS]
    header = list(rows[0])[:6] if rows else []
    cells = [[_short(row[name]) for name in header] for row in rows]
    caption = f"The first {len(rows)} rows of suspects.csv"
    review = f"python -m labelnoise.report review {shlex.quote(str(run.directory.path))}"
    return [
        Section(
            "Suspicious labels",
            [
                Words(" ".join(lines)),
                Table([name.replace("_", " ") for name in header], cells, caption),
                Words("This command writes a page for correcting the labels:"),
                Code(review),
            ],
        )
    ]


def _short(cell: str) -> str:
    try:
        return cell if cell.isdigit() else f"{float(cell):.4g}"
    except ValueError:
        return cell


def _figures(run: LoadedRun) -> list[Section]:
    paths = sorted(run.directory.figures.glob("*.png"))
    if not paths:
        return []
    pictures = [Picture(path, path.stem.replace("_", " ")) for path in paths]
    return [
        Section(
            "Figures", [], pictures, f"{len(paths)} figures as in {run.directory.figures.name}/"
        )
    ]


def _again(run: LoadedRun) -> list[Block]:
    words = [str(word) for word in run.summary["overrides"]]
    versions = run.directory.manifest.section("versions")
    seeds = {k: v for k, v in settings_of(run.config).items() if k.endswith("seed")}
    data = run.directory.manifest.section("data")
    options = {k: v for k, v in settings_of(run.config).items() if not k.endswith("seed")}
    return [
        Code(shlex.join(["python", "run.py", *words])),
        Words("On the same machine with the same versions the results are equal bit for bit."),
        Facts(
            [
                *((name, str(value)) for name, value in versions.items()),
                *((name, str(value)) for name, value in seeds.items()),
                ("hash of the configuration", str(run.summary["config_hash"])),
                *((f"data: {name}", str(value)[:16]) for name, value in data.items()),
            ]
        ),
        Table(
            ("option", "value"),
            [(key, str(value)) for key, value in options.items()],
            f"All {len(options)} options that are set",
            folded=True,
        ),
        Words(f"To cite: {CITATION}"),
    ]
