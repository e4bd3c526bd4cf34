"""Draw the README's figures again, each by the command that the README names.

python docs/make_figures.py                     the theory's figure
python docs/make_figures.py --cifar10 data      also the figures on CIFAR-10 found in data/
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAIR = "data=cifar10_pair data.verify=false data.download=false noise_rate=0.2"
FIGURES = {"two_stages": "experiment=two_stages"}
CIFAR_FIGURES = {"pair": PAIR, "pair_early_stop": f"{PAIR} technique=early_stop"}


def draw(name: str, overrides: list[str]) -> None:
    """Run one command and keep its figure as docs/figures/NAME.png."""
    with tempfile.TemporaryDirectory() as outputs:
        place = [f"output_dir={outputs}", f"name={name}"]
        subprocess.run([sys.executable, "run.py", *overrides, *place], check=True, cwd=ROOT)
        figure = Path(outputs, name, "figures", "two_stages.png")
        shutil.copy(figure, ROOT / "docs" / "figures" / f"{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the README's figures again.")
    parser.add_argument("--cifar10", metavar="ROOT", help="where cifar-10-batches-py lies")
    root = parser.parse_args().cifar10
    for name, command in FIGURES.items():
        draw(name, command.split())
    if root is not None:
        for name, command in CIFAR_FIGURES.items():
            draw(name, [*command.split(), f"data.root={root}"])


if __name__ == "__main__":
    main()
