"""What every technique adds to an epoch of the small CNN on the pair, against plain training."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.epochs import fit_seconds
from benchmarks.ratio import Ratio, side_by_side
from labelnoise.config import CONF_DIR

ROUNDS = 3
SETTING = (
    "model=cnn",
    "data.per_class=1000",
    "optimizer.lr=0.001",
    "monitor=[memorization,dynamics]",
)
# At work within the one epoch that is timed, instead of after a warm-up.
AT_WORK = {
    "backward_correction": ("technique.backward_correction.matrix=record",),
    "forward_correction": ("technique.forward_correction.matrix=record",),
    "neighbour_trust": ("technique.neighbour_trust.start_step=5",),
    "sample_selection": ("technique.sample_selection.start_step=5",),
    "stochastic_reset": (
        "technique.stochastic_reset.activation=at_once",
        "technique.stochastic_reset.r=0.1",
    ),
}
# Two networks take twice the time; with mixup the monitor of every sample makes a pass of its own.
BOUNDS = {"co_teaching": "<= 2.5", "jocor": "<= 2.5", "mixup": "<= 1.6"}


def measure(root: Path | None) -> Iterator[Ratio]:
    """A row a technique, and none without images to train on."""
    if root is None:
        print("techniques need real images: make bench ARGS=data")
        return
    for path in sorted((CONF_DIR / "technique").glob("*.yaml")):
        name = path.stem
        if name == "none":
            continue
        ours, other, ratio = side_by_side(
            partial(fit_seconds, root, *SETTING, f"technique={name}", *AT_WORK.get(name, ())),
            partial(fit_seconds, root, *SETTING),
            ROUNDS,
        )
        yield Ratio(
            f"epoch of cnn with {name} / plain", "s", ours, other, ratio, BOUNDS.get(name, "<= 1.3")
        )
