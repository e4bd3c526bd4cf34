"""Reports are made from what a run left behind: summary, metrics and arrays.

Nothing is imported here: the command line needs ``report.sweep`` before it can afford matplotlib.
"""
