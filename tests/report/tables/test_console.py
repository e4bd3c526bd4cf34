"""The final table of a run: its path, its rows, and the words for the unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labelnoise.report.tables.console import OVERTAKES, print_summary


def shown(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    print_summary(json.loads((run / "summary.json").read_text()), run)
    return capsys.readouterr().out


def test_a_long_path_stays_on_one_line(
    finished_tiny: Any, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    long = tmp_path / ("a" * 60) / ("[b]" * 20)
    long.mkdir(parents=True)
    (long / "summary.json").write_bytes((finished_tiny() / "summary.json").read_bytes())
    assert f"results: {long}\n" in shown(long, capsys, monkeypatch)


def test_each_network_has_one_row(finished_tiny: Any, capsys: Any, monkeypatch: Any) -> None:
    text = shown(finished_tiny(), capsys, monkeypatch)
    assert "test accuracy, val_selected" in text and "test accuracy, val_acc_selected" in text
    assert "val_loss_selected" not in text and "chosen by val/loss" in " ".join(text.split())


def test_a_run_without_coefficients_says_nothing_about_them(
    finished_tiny: Any, finished_images: Any, capsys: Any, monkeypatch: Any
) -> None:
    words = OVERTAKES.split()[:2]
    assert " ".join(words) in shown(finished_tiny(), capsys, monkeypatch)
    assert " ".join(words) not in shown(finished_images(), capsys, monkeypatch)
