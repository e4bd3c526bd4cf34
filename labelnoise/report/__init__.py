"""Reports on finished runs, from their summary, metrics and arrays.

Nothing is imported here, so that the command line starts without matplotlib.
"""
