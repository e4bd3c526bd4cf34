"""Rules that say when to stop, as detectors that see one measurement after another.

One rule serves twice: a technique stops training with it, and a run's report card tells where it
would have stopped a run that went on. Both give the same detector the same recorded numbers.
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
