"""Monitors watch a run and log; training with them is bit for bit training without them."""

from labelnoise.monitors.coefficients import CoefficientMonitor
from labelnoise.monitors.curvature import CurvatureMonitor
from labelnoise.monitors.dynamics import DynamicsMonitor
from labelnoise.monitors.features import FeatureMonitor
from labelnoise.monitors.gradients import GradientMonitor
from labelnoise.monitors.memorization import MemorizationMonitor
from labelnoise.monitors.monitor import Monitor, missing_monitor

__all__ = [
    "CoefficientMonitor",
    "CurvatureMonitor",
    "DynamicsMonitor",
    "FeatureMonitor",
    "GradientMonitor",
    "MemorizationMonitor",
    "Monitor",
    "missing_monitor",
]
