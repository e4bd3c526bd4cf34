"""Losses of single samples for labels that may be wrong: logits and labels in, one number each out.

Every function here takes ``logits`` (n, K) and given labels ``label`` (n,), and returns (n,) losses
that autograd can follow. Options out of range raise ``InputError``; a transition matrix, too large
to be looked at in every step, is checked once by ``check_transition_matrix``.
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
