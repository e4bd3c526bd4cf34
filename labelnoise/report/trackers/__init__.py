"""Trackers: programs outside labelnoise that show the metrics of runs, such as TensorBoard."""

from labelnoise.report.trackers.tracker import Tracker

__all__ = ["Tracker"]
