"""Train a network on partly wrong labels and report the results; -m runs a sweep.

python run.py noise_rate=0.2 technique=early_stop
python run.py --help
"""

from __future__ import annotations

from labelnoise.doors.run import main

if __name__ == "__main__":
    main()
