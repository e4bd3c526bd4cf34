"""Per-sample losses for labels that may be wrong.

Every function maps ``logits`` (n, K) and given labels ``label`` (n,) to (n,) differentiable losses.
Options out of range raise ``InputError``. A transition matrix is not checked at every step; check
it once by ``check_transition_matrix``.

Axes: n samples, K classes.
"""

from labelnoise.losses.robust import ce, gce, mae, nce_rce, sce
from labelnoise.losses.soft_targets import bootstrapping_hard, bootstrapping_soft, label_smoothing
from labelnoise.losses.transition import (
    backward_correction,
    check_transition_matrix,
    forward_correction,
)

__all__ = [
    "backward_correction",
    "bootstrapping_hard",
    "bootstrapping_soft",
    "ce",
    "check_transition_matrix",
    "forward_correction",
    "gce",
    "label_smoothing",
    "mae",
    "nce_rce",
    "sce",
]
