"""The table of techniques: the groups of runs, and the network of each number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from labelnoise.errors import InputError
from labelnoise.report.tables.comparison import report_comparison
from tests.parts import resolved


def leave_run(directory: Path, words: str, kept: float, seconds: float, **more: Any) -> None:
    """The files of a finished run with a summary made up."""
    (directory / ".hydra").mkdir(parents=True)
    OmegaConf.save(OmegaConf.create(resolved(*words.split())), directory / ".hydra" / "config.yaml")
    (directory / "metrics.csv").write_text("step,test/acc\n1,0.5\n")
    entry = {"test_acc": kept - 0.1, "step": 1}
    summary = {
        "overrides": words.split(),
        "seconds": seconds,
        "noise": {},
        "stages": {},
        "final": {"test/acc": kept, "train/memorized_fraction": 0.25},
        "report_card": {
            "last": entry,
            "val_loss_selected": None,
            "oracle_best": {"test_acc": 0.875},
        },
        **more,
    }
    (directory / "summary.json").write_text(json.dumps(summary))


def test_a_table_a_setting_and_a_row_a_technique(tmp_path: Path) -> None:
    leave_run(tmp_path / "a" / "0", "noise_rate=0.2 max_epochs=3 name=a seed=0", 0.75, 2.0)
    leave_run(
        tmp_path / "a" / "1", "noise_rate=0.2 max_epochs=3 name=c output_dir=b seed=1", 0.85, 4.0
    )
    words = "noise_rate=0.2 max_epochs=3 technique=gce technique.gce.q=0.5 seed=0"
    leave_run(tmp_path / "a" / "10", words, 0.9, 4.5, oracle_knowledge=["noise rate"])
    leave_run(
        tmp_path / "a" / "11",
        "technique.gce.q=0.3 seed=1 max_epochs=3 technique=gce noise.rate=0.2",
        0.8,
        4.5,
    )
    leave_run(tmp_path / "b" / "0", "noise_rate=0.4 max_epochs=3 technique=none", 0.5, 3.0)
    explanation, first, second = report_comparison([tmp_path / "a", tmp_path / "b"]).split("\n\n")
    selected = "val loss selected | val acc selected"
    header = f"runs | kept | last | {selected} | memorized | (oracle best) | time | knows |"
    assert "[least, most]" in explanation
    assert first.splitlines() == [
        f"| noise_rate=0.2 | {header}",
        f"|{10 * ' --- |'}",
        "| none | 2 | 80 [75, 85] | 70 [65, 75] |  |  | 25 | 87.5 | 1.00 |  |",
        "| gce technique.gce.q=0.5 | 1 | 90 | 80 |  |  | 25 | 87.5 | 1.50 | noise rate |",
        "| gce technique.gce.q=0.3 | 1 | 80 | 70 |  |  | 25 | 87.5 | 1.50 |  |",
    ]
    assert second.splitlines()[2] == "| none | 1 | 50 | 40 |  |  | 25 | 87.5 | 1.00 |  |"
    assert " time |" not in report_comparison([tmp_path / "a"], timed=False)


def test_a_directory_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished runs"):
        report_comparison([tmp_path])
