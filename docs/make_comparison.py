"""Run every technique on all settings of docs/results.md and print their tables.

python docs/make_comparison.py --human CIFAR-10_human.pt data.root=data

Sweeps lie in outputs/compare; what is finished there is read, the rest is run. On people's labels
co_teaching runs twice, with their noise rate and with an estimate of it. ``--choose`` runs
the candidates for conf/technique_preset/one.yaml instead, on a seed that the comparison does not
use, and prints what each reaches on noisy validation data, the only thing that they are chosen by.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from labelnoise.config import CONF_DIR
from labelnoise.report.loaded import load_run
from labelnoise.report.tables.comparison import report_comparison
from labelnoise.report.tables.settings import technique_names

# 2,000 labelled images each, of which 1,800 are trained on, and 2,000 clean test images.
DATA = {
    "pair": ("data=cifar10_pair", "data.per_class=1000"),
    "ten": ("data=cifar10", "data.per_class=200", "data.test_per_class=200"),
}
SYMMETRIC = {f"symmetric_{rate}": (f"noise_rate=0.{rate}",) for rate in (20, 40, 60)}
HUMAN = ("noise=human", "noise.column=worse")
NOISE = {
    "pair": {
        # 60 % of two classes' labels wrong would be a task with its classes exchanged.
        **{name: words for name, words in SYMMETRIC.items() if name != "symmetric_60"},
        "one_sided_40": ("noise=class_conditional", "noise.tau_plus=0.4", "noise.tau_minus=0"),
        "human": HUMAN,
    },
    "ten": {
        **SYMMETRIC,
        "asymmetric_40": ("noise=asymmetric", "noise_rate=0.4"),
        "human": HUMAN,
    },
}
# Of "worse", the share of labels that are wrong: of those within the pair, and of all.
PEOPLES_RATE = {"pair": "0.0804", "ten": "0.4021"}
TWO_NETWORKS = "co_teaching"
# Techniques, and options of the last of them.
CANDIDATES: dict[str, tuple[str, ...]] = {
    "sample_selection": ("rule=gmm", "warmup_epochs=3,6"),
    "stochastic_reset": ("r=0.003,0.01,0.1", "threshold=56"),
    "elr": ("strength=1,3,7",),
    "gce": ("q=0.4,0.7",),
    "dal": ("q_end=1.0,1.5",),
    "co_teaching": ("warmup_epochs=5,10",),
    "elr,stochastic_reset": (
        "r=0.003,0.01,0.1",
        "threshold=56",
        "checkpoint_by=val_loss,val_acc",
    ),
}
CHOOSE = ("technique_preset=none", "seed=10", "noise_rate=0.2,0.4", "data.val_fraction=0.2")


def sweep(directory: Path, name: str, words: Iterable[str]) -> Path:
    """Run, or finish, one sweep of experiment=compare; its output goes to NAME.log."""
    command = [sys.executable, "run.py", "experiment=compare", *words]
    command += [f"output_dir={directory}", f"name={name}", "trainer.enable_progress_bar=false"]
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{name}.log").open("w") as log:
        done = subprocess.run(command, stdout=log, stderr=log, check=False)
    print(f"{name}: {'done' if done.returncode == 0 else 'failed, see its log'}", flush=True)
    return directory / name


def choices(directory: Path, extra: list[str]) -> dict[str, tuple[str, ...]]:
    """The sweeps of the candidates: words by name."""
    return {
        f"choose_{data}_{techniques.replace(',', '_')}": (
            *words,
            f"technique=[{techniques}]",
            *(f"technique.{techniques.split(',')[-1]}.{option}" for option in options),
            *CHOOSE,
            *extra,
        )
        for data, words in DATA.items()
        for techniques, options in CANDIDATES.items()
    }


def comparisons(extra: list[str], human: str) -> dict[str, tuple[str, ...]]:
    """The sweeps of the comparison: words by name."""
    sweeps = {}
    for data, words in DATA.items():
        for noise, kind in NOISE[data].items():
            if noise != "human":
                sweeps[f"{data}_{noise}"] = (*words, *kind, *extra)
                continue
            told = (*words, *kind, f"noise.path={human}", *extra)
            rates = f"technique.{TWO_NETWORKS}.forget_rate={PEOPLES_RATE[data]},estimate"
            sweeps[f"{data}_human"] = (*told, f"technique={','.join(one_network())}")
            sweeps[f"{data}_human_{TWO_NETWORKS}"] = (*told, f"technique={TWO_NETWORKS}", rates)
    return sweeps


def one_network() -> list[str]:
    """The techniques of experiment=compare that need no noise rate."""
    cfg = OmegaConf.load(CONF_DIR / "experiment" / "compare.yaml")
    techniques = re.findall(r"\[[^]]*\]|[^,]+", cfg.hydra.sweeper.params.technique)
    return [technique for technique in techniques if technique != TWO_NETWORKS]


def validation_table(sweeps: Iterable[Path]) -> str:
    """A row a candidate: its highest noisy validation accuracy, mean over noise rates, in %."""
    rows: dict[str, list[float]] = {}
    runs = [
        (directory.name.split("_")[1], load_run(path.parent))
        for directory in sweeps
        for path in sorted(directory.glob("*/summary.json"))
    ]
    names = technique_names([run.config for _, run in runs])
    for (data, run), name in zip(runs, names, strict=True):
        best = float(np.max(run.history.series("val/acc")[1]))
        rows.setdefault(f"{data} {name}", []).append(100 * best)
    return "\n".join(
        f"{name}: {np.mean(found):.2f} ({len(found)} runs)" for name, found in rows.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the techniques of docs/results.md.")
    parser.add_argument("--choose", action="store_true", help="run the candidates of a preset")
    parser.add_argument("--human", default="CIFAR-10_human.pt", help="people's labels (CIFAR-10N)")
    parser.add_argument("--jobs", type=int, default=2, help="sweeps at a time")
    parser.add_argument("--outputs", type=Path, default=Path("outputs/compare"))
    parser.add_argument("words", nargs="*", help="for every run: data.root=data")
    args = parser.parse_args()
    sweeps = (
        choices(args.outputs, args.words) if args.choose else comparisons(args.words, args.human)
    )
    with ThreadPoolExecutor(args.jobs) as pool:
        made = list(pool.map(lambda item: sweep(args.outputs, *item), sweeps.items()))
    print(validation_table(made) if args.choose else report_comparison(made, timed=False))


if __name__ == "__main__":
    main()
