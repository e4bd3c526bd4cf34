"""All benchmarks, as ratios measured side by side.

make bench                on random images of CIFAR-10's size
make bench ARGS=data      on the CIFAR-10 found in data/
"""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path

from benchmarks import caches, epochs, images, simulation, techniques, training
from benchmarks.ratio import print_ratios


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, help="where cifar-10-batches-py lies")
    root = parser.parse_args().root
    alone = (training.measure(), simulation.measure(), caches.measure())
    parts = (*alone, *(part.measure(root) for part in (images, epochs, techniques)))
    print_ratios(chain(*parts))


if __name__ == "__main__":
    main()
