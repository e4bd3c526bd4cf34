"""The page of a phase diagram."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelnoise.config import composition
from labelnoise.errors import InputError
from labelnoise.phase_diagram.quantities import QUANTITIES
from labelnoise.phase_diagram.store import flat
from labelnoise.report.html.blocks import (
    CYCLE,
    Block,
    Chart,
    Code,
    Curve,
    Facts,
    Page,
    Picture,
    Section,
    Words,
    points,
)
from labelnoise.report.pictures.style import many_decades
from labelnoise.report.tables.statistics import mean_of

MOST_CUTS = 4


def page_of_diagram(folder: Path) -> Page:
    """The page of a finished phase diagram.

    Raises:
        InputError: the diagram is not finished or a file is damaged.
    """
    manifest = _manifest(folder)
    with np.load(folder / "diagram.npz", allow_pickle=False) as file:
        arrays = dict(file)
    figures = sorted((folder / "figures").glob("*.png"))
    pictures = [Picture(path, _words_of(path.stem)) for path in figures]
    sections = [
        Section("Figures", pictures),
        Section("Cuts through the diagram", _cuts(arrays, str(manifest["figure"]["quantity"]))),
        Section("Setting", [_setting(manifest)]),
        Section("Run it again", _again(folder, manifest)),
    ]
    return Page(folder.resolve().name, "phase diagram", _lead(manifest, arrays), sections)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found["config"], found["versions"]  # raises if a key is missing
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}") from error
    if found.get("status") != "finished":
        raise InputError(f"{folder} holds no finished phase diagram: write its command again")
    return dict(found)


def _lead(manifest: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    config, seeds = manifest["config"], len(arrays["seeds"])
    x, y = str(arrays["x_name"]), str(arrays["y_name"])
    lines = [
        f"{manifest['cells']:,} cells over {x} and {y}, each with {seeds:,} seeds and "
        f"{config['steps']:,} steps of exact gradient descent on inner products.",
        "All cells use the same seeds, so neighbouring cells share their random draws.",
    ]
    if "panels_name" in arrays:
        lines.append(f"The panels have different values of {arrays['panels_name']}.")
    return lines


def _words_of(quantity: str) -> str:
    known = QUANTITIES.get(quantity)
    return known.label if known is not None else quantity.replace("_", " ")


def _cuts(arrays: Mapping[str, NDArray[Any]], quantity: str) -> list[Block]:
    """A chart along x for some values of y, and a chart along y for some values of x."""
    values = arrays[quantity][0]  # (y, x, seeds) of the first panel
    words = (
        f"Each curve is the mean of {_words_of(quantity)} over the seeds; the band is its 95 % "
        "interval. A point has a value if at least half of the seeds have one."
    )
    if "panels" in arrays:
        words += f" The curves are those of {arrays['panels_name']} = {arrays['panels'][0]:.4g}."
    charts = [
        _cut(arrays, "x", "y", values.transpose(1, 0, 2), quantity),
        _cut(arrays, "y", "x", values, quantity),
    ]
    return [Words(words), *(chart for chart in charts if chart is not None)]


def _cut(
    arrays: Mapping[str, NDArray[Any]], along: str, across: str, values: NDArray[Any], quantity: str
) -> Chart | None:
    """The quantity along an axis; ``values`` is (along, across, seeds)."""
    x, others = arrays[along], arrays[across]
    if len(x) < 2:
        return None
    chosen = np.unique(np.linspace(0, len(others) - 1, MOST_CUTS).round().astype(int))
    curves = []
    for i, j in enumerate(chosen.tolist()):
        means = [mean_of(cell) for cell in values[:, j]]
        enough = [mean.n * 2 >= values.shape[2] for mean in means]
        line = np.where(enough, [mean.mean for mean in means], np.nan)
        curves.append(
            Curve(
                f"{arrays[f'{across}_name']} = {others[j]:.4g}",
                CYCLE[i],
                points(x, line),
                low=points(x, np.where(enough, [mean.low for mean in means], np.nan)),
                high=points(x, np.where(enough, [mean.high for mean in means], np.nan)),
            )
        )
    name = str(arrays[f"{along}_name"])
    log_x = bool(np.min(x) > 0 and many_decades(np.asarray(x, dtype=float)))
    return Chart(f"Along {name}", curves, quantity.replace("_", " "), x_label=name, log_x=log_x)


def _setting(manifest: Mapping[str, Any]) -> Facts:
    found = flat(manifest["config"])
    return Facts([(key, _shown(value)) for key, value in found.items() if value is not None])


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _command(folder: Path, manifest: Mapping[str, Any]) -> str:
    """The command with all options of the diagram, also those that are null."""
    options = manifest["config"] | {"figure.quantity": manifest["figure"]["quantity"]}
    words = [f"{key}={_typed(value)}" for key, value in composition.flat(options).items()]
    return shlex.join(["python", "phase_diagram.py", *words, f"name={folder.resolve().name}"])


def _typed(value: Any) -> str:
    """A value as Hydra reads it."""
    return json.dumps(value, separators=(",", ":")).strip('"')


def _again(folder: Path, manifest: Mapping[str, Any]) -> list[Block]:
    versions = manifest["versions"].items()
    return [
        Code(_command(folder, manifest)),
        Words("In the same output directory the command reads the finished diagram."),
        Facts(
            [
                ("duration", f"{manifest['seconds']:,.1f} s"),
                ("fingerprint", str(manifest["fingerprint"])),
                *((name, str(value)) for name, value in versions),
            ]
        ),
    ]
