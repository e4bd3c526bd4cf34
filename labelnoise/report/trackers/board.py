"""What TensorBoard shows of a run beside its metrics: charts, texts, histograms and PR curves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from labelnoise.report.loaded import LoadedDynamics
from labelnoise.report.pictures.two_stages import COEFFICIENTS

# The charts of the custom-scalars page, with their metrics.
LAYOUT = {
    "signal learning against noise memorization": [curve.metric for curve in COEFFICIENTS],
    "training accuracy": ["train/acc", "train/acc_clean", "train/acc_noisy"],
    "held-out accuracy": ["val/acc", "test/acc"],
    "loss": ["train/loss", "val/loss", "test/loss"],
    "clean gradient against noisy gradient": ["gradients/dominance", "gradients/cos_clean_noisy"],
    "selection of clean samples": ["selection/precision", "selection/recall", "selection/f1"],
    "detection of noisy samples, AUC": [
        "dynamics/auc_loss",
        "dynamics/auc_margin_loss",
        "dynamics/auc_aum",
    ],
    "resets": ["reset/resets", "reset/distance"],
}
ON_CHARTS = {metric for metrics in LAYOUT.values() for metric in metrics}
# The number of rows of the per-sample log that become histograms and PR curves.
MOST_ROWS = 30


def layout_of(logged: Collection[str]) -> dict[str, list[Any]]:
    """The charts that have data, each with its logged metrics as regular expressions.

    Without its ends, ``test/acc`` would also match ``test/acc_noisy_labels``.

    Example:
        >>> layout_of({"val/acc", "val/loss"})
        {'held-out accuracy': ['Multiline', ['^val/acc$']], 'loss': ['Multiline', ['^val/loss$']]}
    """
    found = {title: [f"^{m}$" for m in metrics if m in logged] for title, metrics in LAYOUT.items()}
    return {title: ["Multiline", metrics] for title, metrics in found.items() if metrics}


def words_of_run(name: str, options: Mapping[str, Any], truth_known: bool) -> str:
    """A text in Markdown: the name of the run, and its options as a table."""
    truth = "" if truth_known else "The true labels are not known.\n\n"
    rows = [f"| {_cell(key)} | {_cell(value)} |" for key, value in options.items()]
    return "\n".join([f"**{_cell(name)}**\n\n{truth}| option | value |", "| --- | --- |", *rows])


def words_of_results(summary: Mapping[str, Any]) -> str:
    """A text in Markdown: the end of the run, the stages and the report card as tables."""
    status = str(summary["status"]).replace("_", " ")
    stages = [
        f"| {_cell(name.replace('_', ' '))} | {value:,g} |"
        for name, value in summary["stages"].items()
        if value is not None
    ]
    card = [
        f"| {_cell(rule.replace('_', ' '))} | {100 * entry['test_acc']:.2f} % "
        f"| {entry.get('step', '')} |"
        for rule, entry in summary["report_card"].items()
        if entry is not None
    ]
    blocks = [f"The run is {status} at step {summary['step']:,}."]
    if stages:
        blocks.append("\n".join(["| stage | step |", "| --- | --- |", *stages]))
    if card:
        header = ["| network chosen by | test accuracy | step |", "| --- | --- | --- |"]
        blocks.append("\n".join([*header, *card]))
        blocks.append("`oracle best` reads test labels, so a user cannot choose this network.")
    return "\n\n".join(blocks)


def add_samples(writer: Any, dynamics: LoadedDynamics) -> None:
    """Add histograms of the losses by step, and PR curves of the detection of noisy samples.

    The score of the curves is 1 - p(given label). If the true labels are unknown, there is one
    histogram of all losses and no curve. At most ``MOST_ROWS`` evenly spaced rows are added.
    """
    log = dynamics.log
    if not len(log):
        return
    rows = np.unique(np.linspace(0, len(log) - 1, MOST_ROWS).round().astype(int))
    noisy = dynamics.is_noisy if dynamics.truth_known else None
    for row in rows.tolist():
        step = int(log.step[row])
        loss = np.asarray(log.arrays["loss"][row], dtype=np.float64)
        for name, part in _parts(loss, noisy).items():
            if np.isfinite(part).any():
                writer.add_histogram(f"loss/{name}", part[np.isfinite(part)], step)
        if noisy is not None and noisy.any() and not noisy.all():
            score = 1 - np.asarray(log.arrays["probability"][row], dtype=np.float64)
            known = np.isfinite(score)
            writer.add_pr_curve("noisy labels", noisy[known], score[known].clip(0, 1), step)


def _parts(loss: np.ndarray, noisy: np.ndarray | None) -> dict[str, np.ndarray]:
    if noisy is None:
        return {"all samples": loss}
    return {"clean samples": loss[~noisy], "noisy samples": loss[noisy]}


def _cell(value: Any) -> str:
    """A value in a cell of a table; the characters of Markdown and HTML stay text.

    Example:
        >>> _cell("a|b<c>")
        'a\\\\|b&lt;c&gt;'
    """
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\`*_|[]":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
