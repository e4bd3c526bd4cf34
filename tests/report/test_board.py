"""What TensorBoard shows beside the metrics: charts with data, texts, histograms, PR curves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.pr_curve import plugin_data_pb2
from tensorboard.util.tensor_util import make_ndarray

from labelnoise.noise import NoiseRecord
from labelnoise.report.loaded import load_run
from labelnoise.report.trackers.board import words_of_run


def events_of(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run / "tensorboard"), {"tensors": 0, "histograms": 0}).Reload()


def layout_in(events: EventAccumulator) -> layout_pb2.Layout:
    """The layout that TensorBoard reads, which is the last one."""
    layout = layout_pb2.Layout()
    last = events.Tensors("custom_scalars__config__")[-1]
    layout.ParseFromString(last.tensor_proto.string_val[0])
    return layout


@pytest.mark.parametrize("kind", ["theory", "images and features"])
def test_every_chart_has_data_and_no_other_metric(
    kind: str, finished_tiny: Any, finished_images: Any
) -> None:
    words = ["logger=tensorboard"]
    if kind == "theory":
        run = finished_tiny(*words)
    else:
        run = finished_images("monitor=[memorization,dynamics,gradients]", *words)
    events = events_of(run)
    [category] = layout_in(events).category
    assert category.title == kind
    scalars = events.Tags()["scalars"]
    shown = [tag for chart in category.chart for tag in chart.multiline.tag]
    for tag in shown:
        assert [name for name in scalars if re.match(tag, name)] == [tag.strip("^$")]
    titles = {chart.title for chart in category.chart}
    expected = "signal learning against noise memorization"
    assert (expected in titles) == (kind == "theory")
    assert ("clean gradient against noisy gradient" in titles) == (kind != "theory")


def test_losses_of_clean_and_noisy_samples_are_histograms_by_epoch(finished_images: Any) -> None:
    run = finished_images("monitor=[memorization,dynamics,gradients]", "logger=tensorboard")
    events, dynamics = events_of(run), load_run(run).dynamics()
    steps = dynamics.log.step.tolist()
    for name, part in (("clean", ~dynamics.is_noisy), ("noisy", dynamics.is_noisy)):
        found = events.Histograms(f"loss/{name} samples")
        assert [event.step for event in found] == steps
        for event, loss in zip(found, dynamics.log.arrays["loss"], strict=True):
            assert event.histogram_value.num == part.sum()
            assert event.histogram_value.sum == pytest.approx(float(loss[part].sum()), rel=1e-3)


def test_the_curve_of_the_detection_has_the_precision_of_the_scores(finished_images: Any) -> None:
    run = finished_images("monitor=[memorization,dynamics,gradients]", "logger=tensorboard")
    events, dynamics = events_of(run), load_run(run).dynamics()
    metadata = plugin_data_pb2.PrCurvePluginData()
    content = events.SummaryMetadata("noisy labels").plugin_data.content
    metadata.ParseFromString(content)
    last = make_ndarray(events.Tensors("noisy labels")[-1].tensor_proto)
    true_positives, false_positives = last[0], last[1]
    score = 1 - dynamics.log.arrays["probability"][-1].astype(float)
    middle = metadata.num_thresholds // 2
    above = np.floor(score * (metadata.num_thresholds - 1)) >= middle
    assert true_positives[middle] == (above & dynamics.is_noisy).sum()
    assert false_positives[middle] == (above & ~dynamics.is_noisy).sum()


def test_the_texts_say_what_the_run_is_and_what_came_out(finished_tiny: Any) -> None:
    run = finished_tiny("logger=tensorboard")
    events = events_of(run)
    start, end = (
        make_ndarray(events.Tensors(f"{name}/text_summary")[-1].tensor_proto)[0].decode()
        for name in ("run", "results")
    )
    assert r"| noise\_rate | 0.2 |" in start
    card = load_run(run).summary["report_card"]
    assert f"| last | {100 * card['last']['test_acc']:.2f} % | {card['last']['step']} |" in end
    record = NoiseRecord.load(run / "noise.npz")
    assert record.truth == "made" and "not known" not in start


def test_names_in_a_text_are_no_markdown() -> None:
    text = words_of_run("a|b", {"<img src=x>": "[link](http://x) `code`"}, truth_known=False)
    assert "<img" not in text and "[link]" not in text.replace(r"\[", "") and r"\|" in text
