"""Phase diagrams: grids of exact theory runs, by ``python phase_diagram.py``."""
