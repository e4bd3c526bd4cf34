"""The contents of a review page: suspicious samples with the evidence against their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

# After the score of the rank, a card shows the first of these scores that the ranking has. The page
# can show the others too.
LEADING = ("probability_wrong", "out_of_fold", "wrong_events", "loss")
SHOWN = 3
# The score of the rank, unless the list is in the order of another score.
RANKS = "margin_loss"
# A score on a scale of its own from 0 to 1; the bars of the other scores show shares of samples.
PROBABILITY = "probability_wrong"
MOST_POINTS = 60


@dataclass(frozen=True)
class Score:
    """A score of a sample: its value, and the length of its bar in [0, 1]."""

    name: str
    value: float
    bar: float


@dataclass(frozen=True)
class Suspect:
    """A sample of the page.

    Attributes:
        name: the file of the sample, or its position in the data set.
        given, suggested: names of classes.
        scores: the evidence, the most important score first.
        losses: the loss of the given label in each recorded epoch; empty if none was recorded.
        picture: the image as a ``data:`` address; None if the data are not images.
        values: without a picture, names and values of the sample in words.
    """

    name: str
    given: str
    suggested: str
    scores: Sequence[Score]
    losses: Sequence[float] = ()
    picture: str | None = None
    values: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Sheet:
    """Everything that a review page shows.

    A function for each kind of directory makes it, for example
    :func:`labelnoise.review.run.sheet_of_run`; :func:`labelnoise.review.page.render` draws it.

    Attributes:
        title: the name of the run.
        fingerprint: of the names and given labels of the data set; corrections carry it.
        class_names: K names.
        suspects: the most suspicious first.
        listed: the number of samples in the whole ranking.
        typical: the median loss of all samples in each recorded epoch.
        correctable: whether ``data.corrections`` can change the labels of these data.
        ranked_by: the score that orders the list, the first on each card; None if none does.
        grouped: whether the samples with another suggested label come before all others.
    """

    title: str
    fingerprint: str
    class_names: Sequence[str]
    suspects: Sequence[Suspect]
    listed: int
    typical: Sequence[float] = ()
    correctable: bool = True
    ranked_by: str | None = None
    grouped: bool = False


def share_below(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The share of the other samples with a lower value, ties counting half; in [0, 1].

    Example:
        >>> share_below(np.array([3.0, 1.0, 2.0, 2.0])).round(3).tolist()
        [1.0, 0.0, 0.5, 0.5]
    """
    if len(values) < 2:
        return np.ones(len(values))
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    rank = below + (counts - 1) / 2
    return np.asarray(rank[inverse] / (len(values) - 1))


def score_of_rank(
    scores: Mapping[str, NDArray[np.float64]], group: NDArray[np.float64]
) -> str | None:
    """The name of the score that orders the list, highest first; None if no score does.

    The margin loss, if it orders the list; else the first score that does.

    Args:
        scores: (n,) each, in the order of the list.
        group: (n,) the list may be ordered in each group of equal values.

    Example:
        >>> score_of_rank({"x": np.array([2.0, 3.0]), "y": np.array([5.0, 4.0])}, np.zeros(2))
        'y'
    """
    same = np.diff(group) == 0
    names = sorted(scores, key=lambda name: name != RANKS)
    return next((name for name in names if not (np.diff(scores[name])[same] > 0).any()), None)


def bars(
    scores: Mapping[str, NDArray[np.float64]], rank: str | None = None
) -> dict[str, NDArray[np.float64]]:
    """The length of the bar of every score; 0 for NaN.

    Args:
        scores: (n,) each.
        rank: the score that orders the list, which comes first; the leading scores follow.

    Example:
        >>> scores = {name: np.zeros(1) for name in ("x", "aum", "loss", "margin_loss")}
        >>> list(bars(scores, "margin_loss"))
        ['margin_loss', 'loss', 'x', 'aum']
    """
    leading = LEADING if rank is None else (rank, *LEADING)
    first = [name for name in dict.fromkeys(leading) if name in scores]
    order = first + [name for name in scores if name not in first]
    lengths = {
        name: scores[name].clip(0, 1) if name == PROBABILITY else share_below(scores[name])
        for name in order
    }
    return {name: np.where(np.isnan(scores[name]), 0.0, v) for name, v in lengths.items()}


def spark(losses: Sequence[float], top: float) -> list[tuple[float, float]]:
    """Points of a spark line in a box of 100 x 30, with y downwards and losses above ``top`` cut.

    Epochs without a finite loss have no point. Of more than 60 epochs, about 60 are drawn, among
    them the first and the last.

    Example:
        >>> spark([2.0, 1.0, 0.0], top=2.0)
        [(0.0, 0.0), (50.0, 15.0), (100.0, 30.0)]
    """
    every = np.asarray(losses, dtype=np.float64)
    chosen = np.unique(np.linspace(0, len(every) - 1, MOST_POINTS).round().astype(int))
    chosen = chosen[: len(every)] if len(every) else chosen[:0]
    across = max(len(every) - 1, 1)
    return [
        (round(100 * i / across, 2), round(30 * (1 - min(float(every[i]) / top, 1.0)), 2))
        for i in chosen.tolist()
        if np.isfinite(every[i])
    ]


def top_of(sheet: Sheet) -> float:
    """The loss at the upper edge of all spark lines: 0.98 of the samples on the page are below it.

    Not the maximum, because one extreme loss would flatten all other lines.
    """
    lines = [np.asarray(losses) for losses in (sheet.typical, *(s.losses for s in sheet.suspects))]
    highest = [line[np.isfinite(line)].max() for line in lines if np.isfinite(line).any()]
    return float(np.quantile(highest, 0.98)) or 1.0 if highest else 1.0
