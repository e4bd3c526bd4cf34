"""The figure of attribution maps: a row per image, with a map for each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labelnoise.report.pictures.style import CLEAN, NOISY

MOST_DRAWN = 16
MOST_COLUMNS = 8  # columns of panels
PANEL = 1.15  # side of an image, in inches
# Blue, white, red: readers with any colour vision can distinguish them; white is zero.
MAP_COLOURS = "RdBu_r"
# Not the maximum, because a few extreme pixels would make all others white.
SCALE_QUANTILE = 0.99
ROLE_COLOURS = {"given": NOISY, "true": CLEAN}


class Map(NamedTuple):
    """A map: the role and name of the class, and the attributions (h, w) summed over channels."""

    role: str
    class_name: str
    attribution: NDArray[np.floating]


class Sample(NamedTuple):
    """A row: the image (c, h, w) uint8, the predicted class, and maps for one or two classes."""

    image: NDArray[np.uint8]
    prediction: str
    maps: Sequence[Map]


def draw_maps(samples: Sequence[Sample]) -> Figure:
    """Images with their maps, in blocks side by side within 8 columns.

    All maps of a row share a scale, the 0.99 quantile of their absolute values. The legend is in
    units of this scale.
    """
    columns = 1 + len(samples[0].maps)
    rows = math.ceil(len(samples) / (MOST_COLUMNS // columns))
    blocks = math.ceil(len(samples) / rows)
    title, legend, gap = 0.24, 0.68, 0.3  # in inches
    content = blocks * columns * (PANEL + 0.08) + (blocks - 1) * gap
    width = max(content + 0.12, 3.2)  # the text of the legend needs 3.2 inches
    height = rows * (PANEL + title) + legend
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    for i, sample in enumerate(samples):
        block, row = divmod(i, rows)
        left = (width - content) / 2 + 0.04 + block * (columns * (PANEL + 0.08) + gap)
        bottom = height - (row + 1) * (PANEL + title)
        axes = [
            figure.add_axes(
                (
                    (left + column * (PANEL + 0.08)) / width,
                    bottom / height,
                    PANEL / width,
                    PANEL / height,
                )
            )
            for column in range(columns)
        ]
        _draw_row(axes, sample)
    bar_width = min(3.2, 0.7 * width)
    bar = figure.add_axes(
        ((width - bar_width) / 2 / width, 0.46 / height, bar_width / width, 0.09 / height)
    )
    legend_of = ScalarMappable(Normalize(-1, 1), MAP_COLOURS)
    colorbar = figure.colorbar(legend_of, cax=bar, orientation="horizontal", ticks=[-1, 0, 1])
    colorbar.ax.set_xticklabels(["against the class", "0", "for the class"])
    scaled = "the maps of an image share a scale" if columns > 2 else "every map has its own scale"
    colorbar.set_label(f"attribution, channels summed; {scaled}", fontsize=7, labelpad=2)
    colorbar.ax.tick_params(labelsize=7, length=2, pad=2)
    colorbar.outline.set_linewidth(0.5)
    return figure


def scale(maps: Sequence[Map]) -> float:
    """The 0.99 quantile of |attribution| over all maps; 1 if all are zero."""
    values = np.abs(np.concatenate([map.attribution.ravel() for map in maps]))
    return float(np.quantile(values, SCALE_QUANTILE)) or float(values.max()) or 1.0


def _draw_row(axes: Sequence[Axes], sample: Sample) -> None:
    first, *others = axes
    image = sample.image.transpose(1, 2, 0)
    first.imshow(image.squeeze(2) if image.shape[2] == 1 else image, cmap="gray", vmin=0, vmax=255)
    _name(first, f"predicted: {_short(sample.prediction)}", "black")
    limit = scale(sample.maps)
    for panel, map in zip(others, sample.maps, strict=True):
        panel.imshow(map.attribution, cmap=MAP_COLOURS, vmin=-limit, vmax=limit)
        colour = ROLE_COLOURS[map.role] if len(sample.maps) > 1 else "black"
        role = map.role if len(sample.maps) > 1 else "class"
        _name(panel, f"{role}: {_short(map.class_name)}", colour)


def _name(axes: Axes, text: str, colour: str) -> None:
    axes.set_title(text, fontsize=7, color=colour, pad=2.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_linewidth(0.5)


def _short(name: str, most: int = 14) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
