"""The figure of the two stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labelnoise.learner.history import History
from labelnoise.report.pictures.style import (
    ALL,
    CLEAN,
    NOISY,
    SIGNAL,
    TEST,
    new_figure,
    plot_series,
)
from labelnoise.report.tables.labels import labels_of_test, labels_of_val, truth_known


class Curve(NamedTuple):
    """A line of a panel: metric, label, colour and line style.

    In the label, ``{test}`` and ``{val}`` are replaced by the words for the labels, and ``{train}``
    by the word for the training samples.
    """

    metric: str
    label: str
    color: str
    style: str = "-"


COEFFICIENTS = (
    Curve("coefficients/gamma_max", r"signal learning, max $\gamma$", SIGNAL),
    Curve("coefficients/rho_max_clean", r"memorization, max $\bar\rho$, clean samples", CLEAN),
    Curve("coefficients/rho_max_noisy", r"memorization, max $\bar\rho$, noisy samples", NOISY),
)
ERRORS = (
    Curve("test/acc", "test error, {test} labels", TEST),
    Curve("val/acc", "validation error, {val} labels", ALL),
)
ACCURACIES = (
    Curve("train/acc", "{train}", ALL),
    Curve("train/acc_clean", "clean samples", CLEAN),
    Curve("train/acc_noisy", "noisy samples (wrong label fitted)", NOISY),
    Curve("test/acc", "test, {test} labels", TEST, "--"),
)
BOUNDARIES = (
    ("clean_fit_step", "clean fitted", CLEAN),
    ("crossing_step", "memorization overtakes", SIGNAL),
    ("memorized_step", "memorized", NOISY),
)


class Column(NamedTuple):
    """A column of the figure: a run and its title."""

    history: History
    summary: dict[str, Any]
    title: str


def draw_two_stages(columns: Sequence[Column]) -> Figure:
    """The figure of the paper with a column per run: coefficients or errors, and accuracies.

    The upper panel shows max gamma and max rho_bar on clean and on noisy samples if they were
    measured, else the test error and the noisy validation error. The lower panel shows the training
    accuracy on all, clean and noisy samples and the test accuracy. If the true labels are unknown,
    errors and accuracies are against the given labels. Steps have a logarithmic axis. Dotted
    vertical lines are the steps of the stages and of the kept network.
    """
    figure = new_figure(5.6 * len(columns), 6.4)
    axes = figure.subplots(2, len(columns), sharex="col", sharey="row", squeeze=False)
    for (upper, lower), column in zip(axes.T, columns, strict=True):
        if "coefficients/gamma_max" in column.history.names:
            _draw(upper, column, COEFFICIENTS)
            # Logarithmic, because the stages differ by a factor of a hundred.
            upper.set_yscale("log")
            upper.set_ylabel("coefficient")
        else:
            _draw(upper, column, ERRORS, complement=True)
            upper.set_ylabel("error")
        _draw(lower, column, ACCURACIES)
        lower.set_ylabel("accuracy")
        lower.set_xlabel("training step")
        lower.set_ylim(-0.03, 1.32)  # room for the legend above the curves
        lower.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        upper.set_title(column.title, fontsize=11, pad=36)  # above the names of the stages
        for panel in (upper, lower):
            panel.label_outer()
            _mark_stages(panel, column.summary, named=panel is upper)
    has_coefficients = "coefficients/gamma_max" in columns[0].history.names
    upper, lower = axes[:, 0]
    named = [_named_lines(row) for row in axes]
    if upper.lines:
        upper.legend(
            *named[0],
            fontsize=8,
            framealpha=0.85,
            loc="lower right" if has_coefficients else "center right",
        )
    if lower.lines:  # empty if no monitor measured
        lower.legend(*named[1], fontsize=8, framealpha=0.85, loc="upper left", ncol=2)
    return figure


def _named_lines(panels: Iterable[Axes]) -> tuple[list[Artist], list[str]]:
    """The lines of all panels for one legend, with each name once."""
    lines: dict[str, Artist] = {}
    for panel in panels:
        for line, name in zip(*panel.get_legend_handles_labels(), strict=True):
            lines.setdefault(name, line)
    return [*lines.values()], [*lines]


def label_of(curve: Curve, summary: Mapping[str, Any]) -> str:
    """The label of a curve in the legend of a run.

    Example:
        >>> label_of(ERRORS[0], {"test_labels": "given"})
        'test error, given labels'
    """
    return curve.label.format(
        test=labels_of_test([summary]),
        val=labels_of_val(summary),
        train="all" if truth_known(summary) else "training, given labels",
    )


def _draw(axes: Axes, column: Column, curves: Sequence[Curve], complement: bool = False) -> None:
    for curve in curves:
        plot_series(
            axes,
            column.history,
            curve.metric,
            complement=complement,
            ls=curve.style,
            color=curve.color,
            label=label_of(curve, column.summary),
        )
    axes.set_xscale("log")
    axes.grid(alpha=0.25, lw=0.6)


def _mark_stages(axes: Axes, summary: dict[str, Any], *, named: bool) -> None:
    for key, name, color in BOUNDARIES:
        step = summary["stages"][key]
        if step:
            axes.axvline(step, color=color, lw=0.9, ls=":")
            if named:
                _name_line(axes, step, f"{name}, {step}")
    # At most one technique stops the run.
    reports = summary["techniques"].values()
    stop = next((report for report in reports if report.get("stopped_step")), None)
    if stop and stop["selected_step"] != summary["stages"]["crossing_step"]:
        axes.axvline(stop["selected_step"], color=TEST, lw=0.9, ls=":")
        if named:
            _name_line(axes, stop["selected_step"], f"kept, {stop['selected_step']}")


def _name_line(axes: Axes, step: int, text: str) -> None:
    axes.text(
        step,
        1.01,
        text,
        rotation=25,
        fontsize=7.5,
        ha="left",
        va="bottom",
        rotation_mode="anchor",
        transform=axes.get_xaxis_transform(),
    )


# Kinds of noise with the same rate, which need a name in the title.
NOISE_NAMES = {"human": "people's labels", "human_twin": "synthetic twin of people's labels"}


def title(summary: dict[str, Any]) -> str:
    """The title of a run in a figure: its label noise and techniques.

    Example:
        >>> title({"noise": {"kind": "human", "rate_realised": 0.0804}, "techniques": {}})
        "people's labels, 8 % wrong"
        >>> title({"noise": {"kind": "symmetric", "rate_realised": 0.2}, "techniques": {}})
        '20 % of the labels wrong'
        >>> title({"noise": {"kind": "none", "truth": "unknown"}, "techniques": {}})
        'labels as given, truth unknown'
    """
    names = ", ".join(summary["techniques"])
    noise = _noise_title(summary)
    return f"{noise} ({names})" if names else noise


def _noise_title(summary: Mapping[str, Any]) -> str:
    if not truth_known(summary):
        return "labels as given, truth unknown"
    rate, kind = summary["noise"]["rate_realised"], summary["noise"]["kind"]
    if kind in NOISE_NAMES:
        return f"{NOISE_NAMES[kind]}, {100 * rate:.0f} % wrong"
    return f"{100 * rate:.0f} % of the labels wrong" if rate else "no label noise"
