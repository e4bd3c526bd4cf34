"""Processes: ranks of a run, signals, and the pool in which jobs and folds run."""
