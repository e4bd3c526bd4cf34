"""Figures of the gradients of clean and of noisy samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labelnoise.learner.history import History
from labelnoise.report.loaded import LoadedRun
from labelnoise.report.pictures.style import (
    ALL,
    CLEAN,
    NOISY,
    OTHERS,
    SIGNAL,
    TEST,
    finish,
    legend,
    many_decades,
    mark_steps,
    new_figure,
    plot_series,
    scale_steps,
)
from labelnoise.run_directory import RunDirectory

PAIR_TITLES = ("clean, clean", "clean, noisy", "noisy, noisy")


def draw_gradients(
    run: RunDirectory, history: History, summary: Mapping[str, Any]
) -> Figure | None:
    """Dominance, norms, cosines, test error, and the angles between samples; None if not measured.

    Above, against the step: the norms of g_clean and g_noise with the dominance; the cosines with
    alpha; the test error with the steps of lost dominance and of lowest test error. Below: the
    distribution of the angles between the gradients of two samples of a class at each step.
    """
    if "gradients/dominance" not in history.names:
        return None
    figure = new_figure(12.5, 6.6)
    axes = figure.subplots(2, 3)
    norms, cosines, error = axes[0]
    for metric, label, color in (
        ("norm_clean", r"$|g_\mathrm{clean}|$", CLEAN),
        ("norm_noisy", r"$|g_\mathrm{noise}|$", NOISY),
        ("dominance", r"dominance $|g_\mathrm{clean}|/|g_\mathrm{noise}|$", SIGNAL),
    ):
        plot_series(norms, history, f"gradients/{metric}", color=color, label=label)
    norms.axhline(1, color=ALL, lw=0.8)
    norms.set_yscale("log")
    for metric, label, color in (
        ("cos_clean_noisy", r"$\cos(g_\mathrm{clean}, g_\mathrm{noise})$", SIGNAL),
        ("cos_total_clean", r"$\cos(g, g_\mathrm{clean})$", CLEAN),
        ("cos_total_noisy", r"$\cos(g, g_\mathrm{noise})$", NOISY),
        ("alpha", r"$\alpha$, share of $g_\mathrm{clean}$ cancelled", OTHERS[0]),
    ):
        plot_series(cosines, history, f"gradients/{metric}", color=color, label=label)
    cosines.set_ylim(-1.05, 1.35)
    draw_test_error(error, history, summary)
    for panel, name in zip(axes[0], ("norms", "directions", "held-out error"), strict=True):
        scale_steps(panel, history, "gradients/dominance")
        finish(panel, "training step", title=name)
        legend(panel)
    with np.load(run.gradients, allow_pickle=False) as arrays:
        if "angle_histogram" in arrays:
            _draw_angles(axes[1], arrays["steps"], arrays["angle_histogram"], arrays["angle_edges"])
        else:
            for panel in axes[1]:
                panel.remove()
    return figure


def draw_test_error(axes: Any, history: History, summary: Mapping[str, Any]) -> None:
    """Test error and noisy validation error, with the best step and the step of lost dominance."""
    plot_series(axes, history, "test/acc", complement=True, color=TEST, label="test, clean labels")
    plot_series(
        axes, history, "val/acc", complement=True, color=ALL, label="validation, noisy labels"
    )
    best = summary["report_card"]["oracle_best"]
    mark_steps(
        axes,
        {
            "dominance lost": (summary["stages"].get("dominance_lost_step"), SIGNAL),
            "best test error (oracle)": (best and best["step"], TEST),
        },
    )


def _draw_angles(panels: Any, steps: Any, histogram: Any, edges: Any) -> None:
    """The distribution of the angles as an image: columns are steps, rows are bins of angles."""
    x, counts = steps[steps > 0], histogram[steps > 0].astype(float)
    if not len(x):
        return
    logarithmic = many_decades(x)
    between = np.sqrt(x[1:] * x[:-1]) if logarithmic else (x[1:] + x[:-1]) / 2
    borders = np.concatenate([[x[0] / 2], between, [x[-1] * 1.02]])
    for pair, (panel, name) in enumerate(zip(panels, PAIR_TITLES, strict=True)):
        total = counts[:, pair].sum(1, keepdims=True)
        share = np.divide(
            counts[:, pair], total, out=np.zeros_like(counts[:, pair]), where=total > 0
        )
        image = panel.pcolormesh(borders, edges, share.T, cmap="magma_r", vmin=0, rasterized=True)
        panel.axhline(90, color=ALL, lw=0.8, ls="--")
        panel.set_xscale("log" if logarithmic else "linear")
        panel.set_yticks([0, 45, 90, 135, 180])
        finish(panel, "training step", "angle in degrees", f"angles between samples: {name}")
        panel.figure.colorbar(image, ax=panel, label="share of the pairs")


def draw_clean_priority(settings: Mapping[str, Sequence[LoadedRun]]) -> Figure | None:
    """Dominance, cosine and test error against the step: a column per setting, a line per seed.

    Circles on a line are the step of lost dominance (black), of the lowest noisy validation loss
    (grey) and of the lowest test error (green, the oracle's choice).

    Args:
        settings: the runs of all seeds by the name of the setting, such as "noise_rate=0.2".
    """
    runs = [run for members in settings.values() for run in members]
    if not runs or any("gradients/dominance" not in run.history.names for run in runs):
        return None
    figure = new_figure(1.2 + 3.3 * len(settings), 7.2)
    axes = figure.subplots(3, len(settings), sharex=True, sharey="row", squeeze=False)
    rows = (
        ("gradients/dominance", r"$|g_\mathrm{clean}|/|g_\mathrm{noise}|$", CLEAN, False),
        ("gradients/cos_clean_noisy", r"$\cos(g_\mathrm{clean}, g_\mathrm{noise})$", NOISY, False),
        ("test/acc", "test error, clean labels", TEST, True),
    )
    for column, (name, members) in enumerate(settings.items()):
        for row, (metric, label, color, complement) in enumerate(rows):
            panel = axes[row, column]
            for run in members:
                _draw_seed(panel, run, metric, color, complement)
            finish(
                panel,
                "training step" if row == 2 else "",
                label if column == 0 else "",
                name if row == 0 else "",
            )
            scale_steps(panel, members[0].history, "gradients/dominance")
        axes[0, column].axhline(1, color=ALL, lw=0.8)
        axes[0, column].set_yscale("log")
    handles = [
        axes[0, 0].plot([], [], "o", color=color, mec="white", label=text)[0]
        for text, color in _STOPS.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncol=3, fontsize=9)
    return figure


def _draw_seed(axes: Axes, run: LoadedRun, metric: str, color: str, complement: bool) -> None:
    """One line, with a circle at each stop."""
    style: dict[str, Any] = {"complement": complement, "color": color, "lw": 1.1, "alpha": 0.8}
    plot_series(axes, run.history, metric, **style)
    for key, step in _stops(run.summary).items():
        if step:
            y = run.history.at(metric, step)
            dot: dict[str, Any] = {"color": _STOPS[key][1], "ms": 5, "mec": "white"}
            axes.plot(step, 1 - y if complement else y, "o", **dot)


_STOPS = {
    "dominance": ("dominance lost", SIGNAL),
    "val": ("lowest noisy validation loss", ALL),
    "best": ("lowest test error (oracle)", TEST),
}


def _stops(summary: Mapping[str, Any]) -> dict[str, int | None]:
    card = summary["report_card"]
    return {
        "dominance": summary["stages"].get("dominance_lost_step"),
        "val": (card.get("val_loss_selected") or {}).get("step"),
        "best": card["oracle_best"] and card["oracle_best"]["step"],
    }
