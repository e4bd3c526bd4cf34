"""Reports are made from what a run left behind: summary, metrics and arrays."""

from labelnoise.report.figures import draw_two_stages
from labelnoise.report.loaded import LoadedRun, load_run

__all__ = ["LoadedRun", "draw_two_stages", "load_run"]
