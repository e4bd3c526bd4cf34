"""Compute a grid of exact theory runs and draw it; -m splits the work into jobs.

python phase_diagram.py diagram=benign_map
python phase_diagram.py --help
"""

from __future__ import annotations

from labelnoise.doors.phase_diagram import main

if __name__ == "__main__":
    main()
