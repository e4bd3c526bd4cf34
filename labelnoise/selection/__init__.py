"""Selection rules: they read losses, probabilities and records, and return masks of samples.

This package does not use a trainer. :class:`labelnoise.techniques.SampleSelection` applies the
rules in training.

Axes: n training samples, K classes, b samples of a batch.
"""

from labelnoise.selection.aum import aum_threshold, other_classes, select_aum
from labelnoise.selection.baselines import select_oracle, select_random
from labelnoise.selection.confident_learning import (
    class_thresholds,
    confident_joint,
    estimate_noise_rate,
    joint_distribution,
    select_confident_learning,
)
from labelnoise.selection.dynamic_threshold import select_dynamic_threshold
from labelnoise.selection.events import select_wrong_events
from labelnoise.selection.loss import (
    select_gmm,
    select_keep_rate,
    select_log2,
    select_smallest,
)
from labelnoise.selection.metrics import class_metrics, selection_metrics
from labelnoise.selection.records import Records
from labelnoise.selection.rules import (
    RULES,
    Evidence,
    Options,
    Rule,
    Selection,
    apply_rule,
    reads_noise_rate,
)

__all__ = [
    "RULES",
    "Evidence",
    "Options",
    "Records",
    "Rule",
    "Selection",
    "apply_rule",
    "aum_threshold",
    "class_metrics",
    "class_thresholds",
    "confident_joint",
    "estimate_noise_rate",
    "joint_distribution",
    "other_classes",
    "reads_noise_rate",
    "select_aum",
    "select_confident_learning",
    "select_dynamic_threshold",
    "select_gmm",
    "select_keep_rate",
    "select_log2",
    "select_oracle",
    "select_random",
    "select_smallest",
    "select_wrong_events",
    "selection_metrics",
]
