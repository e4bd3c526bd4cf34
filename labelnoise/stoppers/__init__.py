"""Stopping rules: detectors that read one measurement after another.

The techniques ``early_stop`` and ``label_wave`` stop training by a rule. The report card has the
step at which each rule would have stopped the run. The techniques and the report card read the same
recorded metrics.
"""

from labelnoise.stoppers.detectors import (
    Detector,
    LocalMinimumDetector,
    PatienceDetector,
    ThresholdDetector,
)
from labelnoise.stoppers.shadow import Stop, shadow_stop
from labelnoise.stoppers.table import STOPPERS, Stopper

__all__ = [
    "STOPPERS",
    "Detector",
    "LocalMinimumDetector",
    "PatienceDetector",
    "Stop",
    "Stopper",
    "ThresholdDetector",
    "shadow_stop",
]
