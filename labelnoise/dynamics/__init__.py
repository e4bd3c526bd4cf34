"""Every training sample through training: what is measured, kept, and concluded from it."""

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
