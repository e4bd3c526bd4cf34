from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from labelnoise.learner.history import History
from labelnoise.report.loaded import load_run
from labelnoise.report.pictures.run import Column, draw_two_stages, report_figures, title
from tests.conftest import Finished, Run


def test_the_figure_draws_what_was_measured(finished_tiny: Finished) -> None:
    run = load_run(finished_tiny())
    figure = draw_two_stages([Column(run.history, run.summary, title(run.summary))])
    upper, lower = figure.axes
    assert upper.get_title() == "20 % of the labels wrong"
    assert [axes.get_xscale() for axes in figure.axes] == ["log", "log"]
    assert lower.get_xlabel() == "training step"
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("coefficient", "accuracy")
    steps, gamma = run.history.series("coefficients/gamma_max")
    np.testing.assert_array_equal(upper.lines[0].get_xdata(), steps[1:])
    np.testing.assert_array_equal(upper.lines[0].get_ydata(), gamma[1:])
    crossing = run.summary["stages"]["crossing_step"]
    places = [np.asarray(line.get_xdata()) for line in upper.lines]
    marked = {float(place[0]) for place in places if len(place) == 2}
    assert crossing is None or crossing in marked


def test_without_coefficients_the_errors_are_drawn() -> None:
    history = History({10: {"test/acc": 0.75, "val/acc": 0.5}, 20: {"test/acc": 0.5}})
    summary = {"stages": dict.fromkeys(("clean_fit_step", "crossing_step", "memorized_step")),
               "techniques": {}}  # fmt: skip
    upper, _ = draw_two_stages([Column(history, summary, "")]).axes
    assert upper.get_ylabel() == "error"
    assert list(np.asarray(upper.lines[0].get_ydata())) == [0.25, 0.5]


def test_a_run_without_monitors_still_has_a_figure(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny("monitor=none", "data.n_val=0", "figures=true")
    assert (tmp_path / "run" / "figures" / "two_stages.png").is_file()


@pytest.mark.slow
def test_a_run_without_figures_is_drawn_later(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny("figures=false")
    assert not (tmp_path / "run" / "figures").exists()
    report_figures(tmp_path / "run")
    later = (tmp_path / "run" / "figures" / "two_stages.png").read_bytes()
    run_tiny("figures=true", name="drawn")
    drawn = (tmp_path / "drawn" / "figures" / "two_stages.png").read_bytes()
    assert later == drawn


def test_tensorboard_holds_charts_figures_and_final_metrics(run_tiny: Run, tmp_path: Path) -> None:
    summary = run_tiny("logger=tensorboard", "figures=true")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"train/acc_clean", "coefficients/gamma_max", "val/loss", "test/acc"} <= set(
        tags["scalars"]
    )
    assert "hp_metric" not in tags["scalars"]
    assert tags["images"] == ["two_stages"]
    history = load_run(tmp_path / "run").history
    logged = [(event.step, event.value) for event in events.Scalars("train/loss")]
    steps, values = history.series("train/loss")
    assert [step for step, _ in logged] == steps.tolist()
    np.testing.assert_allclose([value for _, value in logged], values, rtol=1e-6)

    layout = layout_pb2.Layout()
    content = events.SummaryMetadata("custom_scalars__config__")
    assert content.plugin_data.plugin_name == "custom_scalars"
    layout.ParseFromString(
        events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0]
    )
    charts = {chart.title: list(chart.multiline.tag) for chart in layout.category[0].chart}
    assert charts["signal learning against noise memorization"] == [
        f"^coefficients/{name}$" for name in ("gamma_max", "rho_max_clean", "rho_max_noisy")
    ]

    hparams = hparams_of(events)
    assert hparams["noise_rate"] == 0.2 and hparams["noise"] == "symmetric"
    final = events.Scalars("summary/final.test/acc")[-1].value
    assert final == np.float32(summary["final"]["test/acc"])


def hparams_of(events: EventAccumulator) -> dict[str, Any]:
    session = plugin_data_pb2.HParamsPluginData()
    metadata = events.SummaryMetadata("_hparams_/session_start_info")
    session.ParseFromString(metadata.plugin_data.content)
    values = session.session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


@pytest.mark.slow
def test_hparams_hold_the_options_of_techniques_and_no_rate_that_nothing_has(
    run_tiny: Run, tmp_path: Path
) -> None:
    run_tiny(
        "logger=tensorboard", "noise=none", "noise_rate=0.3", "technique=[gce,stochastic_reset]",
        "technique.stochastic_reset.r=0.25",
    )  # fmt: skip
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    hparams = hparams_of(events)
    assert hparams["technique.stochastic_reset.r"] == 0.25
    assert hparams["technique.gce.q"] == 0.7 and hparams["technique"] == "[gce,stochastic_reset]"
    assert hparams["optimizer.lr"] == 0.05 and hparams["seed"] == 0 and hparams["noise"] == "none"
    assert "noise_rate" not in hparams and "name" not in hparams
