"""Grids of exact theory runs: the second door, ``python phase_diagram.py``."""
