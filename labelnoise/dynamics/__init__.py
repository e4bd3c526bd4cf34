"""Measurements of every training sample in every epoch: record them, store them, compute scores.

Axes: n training samples, K classes, b samples of a batch, g groups of neighbouring values, "rows"
recorded epochs.
"""

from labelnoise.dynamics.log import DynamicsLog
from labelnoise.dynamics.measurements import Measurements, measure
from labelnoise.dynamics.mixture import fit_two_gaussians, gmm_gap, in_lower_component
from labelnoise.dynamics.recorder import EpochRecorder
from labelnoise.dynamics.scores import RunningScores, auc

__all__ = [
    "DynamicsLog",
    "EpochRecorder",
    "Measurements",
    "RunningScores",
    "auc",
    "fit_two_gaussians",
    "gmm_gap",
    "in_lower_component",
    "measure",
]
