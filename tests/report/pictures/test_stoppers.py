from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from labelnoise.learner.history import History
from labelnoise.report.loaded import LoadedRun
from labelnoise.report.pictures.stoppers import (
    draw_stoppers,
    regret_table,
    regrets,
    write_regrets,
)
from labelnoise.report.tables.summary import report_card
from labelnoise.run_directory import RunDirectory
from labelnoise.sweeps.report import report_sweep
from tests.conftest import Run


def scripted(best: int, wave: int | None, name: str = "0", status: str = "finished") -> LoadedRun:
    """Thirty epochs: best test accuracy 0.9 at ``best``, a point less for each epoch from it.

    The validation loss is lowest at epoch 8, the accuracy rises to the end, and predictions change
    least in epochs ``wave`` - 1 and ``wave``, or less and less.
    """
    history = History()
    for epoch in range(30):
        changes = 200.0 - 5 * epoch if wave is None else 10.0 * abs(epoch - wave + 0.5)
        history.record(
            9 * epoch,
            {
                "test/acc": 0.9 - 0.01 * abs(epoch - best),
                "val/loss": 1.0 + abs(epoch - 8),
                "val/acc": 0.5 + 0.01 * epoch,
                "dynamics/prediction_changes": changes,
            },
        )
    summary = {"report_card": report_card(history, 9), "status": status}
    return LoadedRun(RunDirectory(Path(name)), summary, history)


SETTINGS = {
    "noise=a noise_rate=0.2": [scripted(5, 6, "0"), scripted(7, None, "1")],
    "noise=a noise_rate=0.4": [scripted(8, 8, "2"), scripted(8, 8, "3")],
    "noise=b noise_rate=0.2": [scripted(9, 9, "4")],
}


def test_regret_is_the_distance_from_the_best_epoch_in_points() -> None:
    first, second = (
        regrets(run.summary, run.history) for run in SETTINGS["noise=a noise_rate=0.2"]
    )
    assert list(first) == ["val_loss", "val_acc", "label_wave", "last"]
    assert first["val_loss"] == (pytest.approx(3.0), 72, True)
    assert first["label_wave"] == (pytest.approx(1.0), 54, True)
    # What never stopped counts as the last epoch.
    assert first["val_acc"] == (pytest.approx(24.0), 261, False)
    assert second["label_wave"] == (pytest.approx(22.0), 261, False)
    assert second["last"].points == pytest.approx(22.0)


def test_nothing_is_compared_where_rules_could_not_be_followed() -> None:
    stopped = scripted(5, 6, status="stopped_early")
    assert regrets(stopped.summary, stopped.history) == {}
    lonely = History({9: {"test/acc": 0.9, "val/loss": 1.0}})
    assert regrets({"report_card": report_card(lonely), "status": "finished"}, lonely) == {}
    untested = History({9: {"val/acc": 0.9, "val/loss": 1.0}})
    assert regrets({"report_card": report_card(untested), "status": "finished"}, untested) == {}
    assert draw_stoppers({"all runs": [stopped]}) is None and draw_stoppers({}) is None
    assert regret_table({"all runs": [stopped]}) == {}


def test_the_table_has_mean_and_range_and_who_never_stopped() -> None:
    table = regret_table(SETTINGS)
    assert table["noise=a noise_rate=0.2"] == {
        "val_loss": "2.00 [1.00, 3.00]",
        "val_acc": "23.00 [22.00, 24.00], never 2/2",
        "label_wave": "11.50 [1.00, 22.00], never 1/2",
        "last": "23.00 [22.00, 24.00]",
    }
    assert table["noise=b noise_rate=0.2"]["val_acc"] == "20.00, never 1/1"


def test_every_run_and_rule_is_a_row(tmp_path: Path) -> None:
    write_regrets(tmp_path / "stoppers.csv", SETTINGS)
    with (tmp_path / "stoppers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 * 4
    wave = [row for row in rows if row["rule"] == "label_wave"]
    assert [row["stopped"] for row in wave] == ["1", "0", "1", "1", "1"]
    assert [row["run"] for row in wave] == ["0", "1", "2", "3", "4"]
    assert float(wave[1]["points"]) == pytest.approx(22.0)


def test_the_figure_has_a_panel_a_setting_and_a_circle_a_run() -> None:
    figure = draw_stoppers(SETTINGS)
    assert figure is not None
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == list(SETTINGS)
    assert len(figure.axes) == 4  # two rates beside each other, two kinds below
    labels = [text.get_text() for text in shown[0].get_yticklabels()]
    assert labels == ["val_loss", "val_acc", "label_wave", "last epoch"]
    lines = [(line, np.asarray(line.get_xydata())) for line in shown[0].lines]
    circles = [(line, at) for line, at in lines if line.get_marker() == "o" and len(at)]
    points = {(float(at[0, 0]), int(at[0, 1])): circle for circle, at in circles}
    found = {
        (regret.points, y)
        for run in SETTINGS["noise=a noise_rate=0.2"]
        for y, regret in enumerate(regrets(run.summary, run.history).values())
    }
    assert set(points) == found
    opened = {at for at, circle in points.items() if circle.get_markerfacecolor() == "white"}
    assert {y for _, y in opened} == {1, 2} and len(opened) == 3
    means = [at[0, 0] for line, at in lines if line.get_marker() == "|" and len(at)]
    np.testing.assert_allclose(np.array(means), [2.0, 23.0, 11.5, 23.0])


def test_a_sweep_on_images_leaves_the_figure_and_the_table(
    run_images: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_images("max_epochs=2", name="sweep/0")
    report_sweep(tmp_path / "sweep")
    assert (tmp_path / "sweep" / "figures" / "stoppers.png").stat().st_size > 5_000
    assert (tmp_path / "sweep" / "stoppers.csv").is_file()
    assert "never 1/1" in capsys.readouterr().out
