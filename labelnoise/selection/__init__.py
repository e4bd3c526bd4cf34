"""Selection rules: they read losses, probabilities and records, and return masks of samples.

This package does not use a trainer. :class:`labelnoise.techniques.SampleSelection` applies the
rules in training.

Axes: n training samples, K classes, b samples of a batch.
"""

from labelnoise.selection.aum import other_classes
from labelnoise.selection.confident_learning import estimate_noise_rate
from labelnoise.selection.loss import select_keep_rate, select_log2
from labelnoise.selection.metrics import class_metrics, selection_metrics
from labelnoise.selection.records import Records
from labelnoise.selection.rules import RULES, Evidence, Options, apply_rule, reads_noise_rate

__all__ = [
    "RULES",
    "Evidence",
    "Options",
    "Records",
    "apply_rule",
    "class_metrics",
    "estimate_noise_rate",
    "other_classes",
    "reads_noise_rate",
    "select_keep_rate",
    "select_log2",
    "selection_metrics",
]
