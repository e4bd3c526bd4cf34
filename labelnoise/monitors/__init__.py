"""Monitors measure and log; they do not change the training, bit for bit.

Axes: T observations, n training samples, K classes, m filters of each class, L layers, s compared
samples, "units" of the last hidden layer.
"""

from labelnoise.monitors.coefficients import CoefficientMonitor
from labelnoise.monitors.curvature import CurvatureMonitor
from labelnoise.monitors.dynamics import DynamicsMonitor
from labelnoise.monitors.features import FeatureMonitor
from labelnoise.monitors.gradients import GradientMonitor
from labelnoise.monitors.held_out import HeldOutMonitor
from labelnoise.monitors.memorization import MemorizationMonitor
from labelnoise.monitors.monitor import Monitor, missing_monitor

__all__ = [
    "CoefficientMonitor",
    "CurvatureMonitor",
    "DynamicsMonitor",
    "FeatureMonitor",
    "GradientMonitor",
    "HeldOutMonitor",
    "MemorizationMonitor",
    "Monitor",
    "missing_monitor",
]
