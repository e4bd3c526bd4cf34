"""Tables and pictures over seeds, from directories with made-up numbers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.lines import Line2D
from scipy import stats

from labelnoise.errors import InputError
from labelnoise.files.writing import write_json
from labelnoise.learner.history import History
from labelnoise.report.__main__ import main
from labelnoise.report.loaded import load_runs
from labelnoise.report.pictures.metric import draw_against, draw_heat_map, draw_learning_curves
from labelnoise.report.tables.runs import runs_table
from labelnoise.report.tables.statistics import holm, mean_of, paired_p

# Accuracy of each technique and seed; seed 2 of elr is missing.
ACCURACIES = {"none": [0.70, 0.72, 0.74], "elr": [0.75, 0.78], "gce": [0.70, 0.72, 0.74]}


def write_run(path: Path, accuracy: float | None, seed: int, **settings: Any) -> None:
    """A finished run with one number, and a learning curve that ends there."""
    (path / ".hydra").mkdir(parents=True)
    rate = settings.pop("noise_rate", 0.2)
    technique = {settings["technique"]: {"_target_": "x"}} if settings.get("technique") else {}
    config = {"seed": seed, "noise_rate": rate, "noise": {"rate": rate, "seed": seed}}
    config |= {"technique": {} if "none" in technique else technique}
    (path / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config))
    final = {"test/acc": accuracy, "val/acc": 0.5}
    summary = {"status": "finished", "overrides": ["a=1"], "noise": {"kind": "x", "matrix": [[1]]}}
    write_json(path / "summary.json", summary | {"stages": {}, "report_card": {}, "final": final})
    if accuracy is not None:
        rows = {step: {"test/acc": accuracy * step / 10} for step in (1, 5, 10)}
        History(rows).write_csv(path / "metrics.csv")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Eight runs, and a ninth that is not finished."""
    number = 0
    for technique, accuracies in ACCURACIES.items():
        for seed, accuracy in enumerate(accuracies):
            write_run(tmp_path / "s" / str(number), accuracy, seed, technique=technique)
            number += 1
    (tmp_path / "s" / "8" / ".hydra").mkdir(parents=True)
    (tmp_path / "s" / "8" / ".hydra" / "config.yaml").write_text("seed: 2\n")
    return tmp_path / "s"


def told(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    main([str(word) for word in words])
    return capsys.readouterr().out


def points(line: Line2D) -> list[float]:
    """x and y of every point."""
    return np.array(line.get_xydata(), dtype=float).ravel().tolist()


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def test_a_mean_with_its_interval(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = csv_rows(told(capsys, "table", sweep, "--format", "csv"))
    found = {row["setting"]: row for row in rows}
    assert found.keys() == {f"technique={name}" for name in ACCURACIES}
    row, values = found["technique=none"], ACCURACIES["none"]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert [float(row[k]) for k in ("mean", "sd", "low", "high")] == pytest.approx(
        [0.72, 0.02, low, high]
    )
    assert row["n"] == "3" and row["metric"] == "final.test/acc"
    shown = told(capsys, "table", sweep)
    assert "| technique=none | 0.72 ± 0.04968 (sd 0.02, n 3) |" in shown
    assert r"technique=none & 0.72 $\pm$ 0.04968" in told(capsys, "table", sweep, "--format=latex")


def test_unfinished_runs_are_named(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["table", str(sweep)])
    assert f"not finished in {sweep}, left out: 8" in capsys.readouterr().err


def test_differences_are_paired_by_seed(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("compare", sweep, "--by", "technique", "--format", "csv")
    elr, gce = csv_rows(told(capsys, *words))
    differences = [0.05, 0.06]  # of seeds 0 and 1; the mean over all runs would differ by 0.045
    p = stats.ttest_rel(ACCURACIES["elr"], ACCURACIES["none"][:2]).pvalue
    assert float(elr["difference"]) == pytest.approx(np.mean(differences))
    assert (elr["pairs"], elr["unpaired"]) == ("2", "1")
    assert float(elr["p"]) == pytest.approx(p)
    assert (gce["difference"], gce["p"], gce["pairs"]) == ("0.0", "1.0", "3")
    assert float(elr["p (Holm)"]) == pytest.approx(2 * p)
    baseline = csv_rows(told(capsys, *words, "--baseline", "elr"))
    assert float(baseline[0]["difference"]) == pytest.approx(-0.055)
    assert "| elr | final.test/acc | 0.055 |" in told(capsys, *words[:4])


def test_settings_are_compared_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (technique, rate, seed) in enumerate(
        (t, r, s) for t in ("none", "elr") for r in (0.1, 0.4) for s in (0, 1)
    ):
        gain = (rate + 0.01 * seed) * (technique == "elr")
        write_run(tmp_path / str(number), 0.5 + gain, seed, technique=technique, noise_rate=rate)
    found = csv_rows(told(capsys, "compare", tmp_path, "--by", "technique", "--format", "csv"))
    assert [row["setting"] for row in found] == ["noise_rate=0.1", "noise_rate=0.4"]
    assert [float(row["difference"]) for row in found] == pytest.approx([0.105, 0.405])


def test_folders_are_compared_and_their_difference_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, rate in (("a", 0.1), ("b", 0.3)):
        for seed in (0, 1):
            write_run(tmp_path / folder / str(seed), 0.9 - rate + seed / 100, seed, noise_rate=rate)
    shown = told(capsys, "compare", tmp_path / "a", tmp_path / "b")
    assert "The compared runs differ in: noise_rate, noise.rate." in shown
    assert "| -0.2 |" in shown
    with pytest.raises(InputError, match="have the same settings: leave one out"):
        write_run(tmp_path / "b" / "2", 0.6, 1, noise_rate=0.3)
        told(capsys, "compare", tmp_path / "a", tmp_path / "b")


def test_a_row_has_every_number(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(sweep / "9", 0.5, 7, technique="=cmd")
    assert told(capsys, "runs", sweep) == f"{sweep / 'runs.csv'}: 9 runs\n"
    rows = csv_rows((sweep / "runs.csv").read_text())
    assert [row["run"] for row in rows] == [str(sweep / str(i)) for i in (*range(8), 9)]
    assert [row["seed"] for row in rows] == [*"01201012", "7"]
    assert rows[3]["final.test/acc"] == "0.75" and rows[3]["technique"] == "elr"
    assert rows[8]["technique"] == "'=cmd"  # no formula for a spreadsheet
    assert "overrides" not in rows[0] and rows[0]["status"] == "finished"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("table", "SWEEP", "--metric", "acc"), r"no run has the number acc, there are: .*final"),
        (("table", "SWEEP", "--format", "x"), "--format must be one of markdown, latex, csv"),
        (("compare", "SWEEP"), "a comparison needs two folders, or one folder and --by OPTION"),
        (("compare", "SWEEP", "--by", "lr"), "--by lr: no run has this option, the runs differ in"),
        (("compare", "SWEEP", "--by", "noise_rate"), "all runs have noise_rate=0.2"),
        (("compare", "SWEEP", "--by", "technique", "--baseline", "x"), "--baseline must be one of"),
        (("compare", "SWEEP", "SWEEP"), "is given twice: its runs would count twice"),
        (("plot", "SWEEP", "--to", "x.gif"), r"--to x.gif must end with one of .png, .pdf, .svg"),
        (("plot", "SWEEP", "--metric", "x"), "no run has the metric x, there are: test/acc"),
        (("plot", "SWEEP", "--against", "lr"), "no run has the option lr, the runs differ in"),
        (("plot", "SWEEP", "--against", "a", "b", "c"), "--against takes at most two options"),
        (("plot", "SWEEP", "--against", "seed", "noise_rate"), "the runs also differ in technique"),
        (("runs", "SWEEP", "--to", "no/x.csv"), "no does not exist"),
    ],
)
def test_wrong_words_are_refused(sweep: Path, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main([str(sweep) if word == "SWEEP" else word for word in words])
    assert not (sweep / "figures").exists()


def test_learning_curves_show_the_mean_and_the_interval(sweep: Path) -> None:
    runs = load_runs([sweep])
    [axes] = draw_learning_curves(runs, "test/acc").axes
    line = axes.lines[0]
    assert line.get_label() == "technique=none (n 3)"
    assert points(line) == pytest.approx([1, 0.072, 5, 0.36, 10, 0.72])
    band = np.array(axes.collections[0].get_paths()[0].vertices, dtype=float)
    mean = mean_of(ACCURACIES["none"])
    assert (band[:, 1].max(), band[band[:, 0] == 10, 1].min()) == pytest.approx(
        (mean.high, mean.low)
    )


def test_words_are_points_and_numbers_are_lines(tmp_path: Path) -> None:
    for i, (rate, seed) in enumerate((r, s) for r in (0.1, 0.2, 0.4) for s in (0, 1)):
        write_run(tmp_path / str(i), rate + seed / 10, seed, technique="elr", noise_rate=rate)
    runs = load_runs([tmp_path])
    values = runs_table(runs)["final.test/acc"]
    [axes] = draw_against(runs, values, "noise_rate").axes
    assert points(axes.lines[0]) == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.4, 0.45])
    assert axes.lines[0].get_label() == "all runs (n 2)"
    [axes] = draw_against(runs, values, "technique").axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["elr"]
    assert len(axes.containers) == 3  # a noise rate each


def test_a_heat_map_has_the_mean_of_each_cell(tmp_path: Path) -> None:
    cells = [(r, t, s) for r in (0.1, 0.2) for t in ("none", "elr") for s in (0, 1)][:-2]
    for i, (rate, technique, seed) in enumerate(cells):
        accuracy = rate + (technique == "elr") + seed / 10
        write_run(tmp_path / str(i), accuracy, seed, technique=technique, noise_rate=rate)
    runs = load_runs([tmp_path])
    figure = draw_heat_map(runs, runs_table(runs)["final.test/acc"], "noise_rate", "technique")
    shown: Any = figure.axes[0].images[0].get_array()
    assert shown.filled(-1).ravel().tolist() == pytest.approx([1.15, -1, 0.15, 0.25])
    assert figure.axes[0].get_title() == "mean over 2 runs in each cell"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_the_sequential_test(p: list[float]) -> None:
    adjusted = holm(p)
    for alpha in (0.01, 0.05, 0.2):
        rejected = set()
        for rank, i in enumerate(np.argsort(p, kind="stable")):
            if p[i] * (len(p) - rank) > alpha:
                break
            rejected.add(int(i))
        assert {i for i, value in enumerate(adjusted) if value <= alpha} == rejected


def test_one_run_has_no_interval() -> None:
    assert mean_of([0.3])[0] == 0.3 and np.isnan(mean_of([0.3]).low)
    assert np.isnan(paired_p([0.3]))
    np.testing.assert_array_equal(holm([np.nan, 0.5]), [np.nan, 0.5])
