"""Attribution of training images of a run: values, files and figures."""

from __future__ import annotations

import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from labelnoise.attribution import maps
from labelnoise.attribution.figure import Map, Sample, draw_maps, scale
from labelnoise.attribution.maps import choose, explain_run, report_attribution
from labelnoise.errors import InputError
from labelnoise.training.train import train
from tests.cifar import image_config
from tests.conftest import Run


def test_the_draw_is_of_the_right_images() -> None:
    is_noisy = torch.arange(50) % 5 == 0
    chosen = choose(is_noisy, 8, 20, seed=0)
    assert [len(part) for part in chosen] == [8, 8, 20]
    assert is_noisy[chosen.noisy].all()
    assert not is_noisy[torch.cat([chosen.clean, chosen.background])].any()
    assert len(torch.cat(chosen).unique()) == 36
    more = choose(is_noisy, 30, 20, seed=0)
    assert [len(part) for part in more] == [10, 20, 20]
    assert torch.equal(more.noisy[:8], chosen.noisy) and torch.equal(more.clean[:8], chosen.clean)
    assert torch.equal(more.background, chosen.background)
    assert not torch.equal(choose(is_noisy, 8, 20, seed=1).clean, chosen.clean)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be a whole number from 1 to"),
        ({"background": 0}, "background must be between 1 and 34, got 0"),
        ({"background": 35}, "between 1 and 34, got 35: .* has 35 clean images"),
        ({"draws": 0}, "draws must be a whole number from 1 to 100,000, got 0"),
        ({"method": "magic"}, "method must be one of gradient_shap, deep_lift_shap, got magic"),
        ({"checkpoint": "x"}, "checkpoint x does not exist"),
    ],
)
def test_bad_arguments_are_refused(image_run: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        explain_run(image_run, **{"background": 10, **options})


@pytest.mark.slow
def test_a_run_is_explained_from_end_to_end(image_run: Path) -> None:
    text = report_attribution(image_run, samples=12, background=10, draws=20, seed=4)
    folder = image_run / "attribution"
    assert {path.name for path in folder.iterdir()} == {
        "attributions.npz", "noisy.png", "clean.png",
    }  # fmt: skip
    assert "noisy: 10 explained" in text and "clean: 12 explained" in text  # 10 are all
    with np.load(folder / "attributions.npz", allow_pickle=False) as file:
        arrays = dict(file)
    noisy = arrays["is_noisy"]
    assert noisy.tolist() == [True] * 10 + [False] * 12
    assert (noisy == (arrays["label"] != arrays["clean_label"])).all()
    for name in ("attribution_given", "attribution_true"):
        assert arrays[name].shape == (22, 3, 32, 32) and arrays[name].dtype == np.float32
    assert arrays["image"].shape == (22, 3, 32, 32) and arrays["image"].dtype == np.uint8
    given, true = arrays["attribution_given"], arrays["attribution_true"]
    assert (given[~noisy] == true[~noisy]).all() and (given[noisy] != true[noisy]).any(
        (1, 2, 3)
    ).all()
    assert (arrays["difference_given"] != arrays["difference_true"]).tolist() == noisy.tolist()
    assert len(np.intersect1d(arrays["background"], arrays["index"])) == 0
    assert arrays["method"] == "gradient_shap" and arrays["seed"] == 4
    assert arrays["class_names"].tolist() == ["airplane", "automobile"]
    # The same draws serve both classes; an image's map does not depend on how many there are.
    fewer = explain_run(image_run, samples=3, background=10, draws=20, seed=4)
    assert fewer.source_index.tolist() == arrays["source_index"][[0, 1, 2, 10, 11, 12]].tolist()
    np.testing.assert_array_equal(fewer.attribution_given, given[[0, 1, 2, 10, 11, 12]])


def test_the_explained_images_are_the_published_ones(image_run: Path, cifar_root: Path) -> None:
    explained = explain_run(image_run, samples=2, background=5, draws=2)
    files = [cifar_root / "cifar-10-batches-py" / f"data_batch_{k}" for k in range(1, 6)]
    parts = [pickle.loads(file.read_bytes()) for file in files]
    pixels = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([part["labels"] for part in parts])
    np.testing.assert_array_equal(explained.image, pixels[explained.source_index])
    np.testing.assert_array_equal(explained.clean_label, labels[explained.source_index])


def test_without_noise_there_are_clean_images_alone(cifar_root: Path, tmp_path: Path) -> None:
    train(image_config(cifar_root, "noise=none", "max_epochs=1"), tmp_path / "run")
    (tmp_path / "run" / "attribution").mkdir()
    (tmp_path / "run" / "attribution" / "noisy.png").write_text("of an earlier call")
    text = report_attribution(tmp_path / "run", samples=2, background=5, draws=2)
    assert "noisy: 0 explained" in text and "noisy.png" not in text
    assert {path.name for path in (tmp_path / "run" / "attribution").iterdir()} == {
        "attributions.npz", "clean.png",
    }  # fmt: skip


def test_what_is_no_image_is_refused(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny("max_steps=5")
    with pytest.raises(InputError, match="trained on SignalNoiseDataModule.*explains images"):
        explain_run(tmp_path / "run")


def test_a_network_that_diverged_is_refused(image_run: Path, tmp_path: Path) -> None:
    weight = torch.full((2, 2, 3, 32, 32), torch.nan)
    torch.save({"state_dict": {"model.weight": weight}}, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="x.ckpt has diverged"):
        explain_run(image_run, checkpoint=tmp_path / "x.ckpt", background=10)


def test_without_captum_one_line_says_what_to_install(
    image_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(InputError, match="needs captum: pip install captum$"):
        explain_run(image_run)


def samples(number: int, maps: int = 2, channels: int = 3) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        Sample(
            rng.integers(0, 256, (channels, 6, 6), dtype=np.uint8),
            "cat",
            [
                Map(role, "a class whose name is long", rng.normal(size=(6, 6)))
                for role in ("given", "true")[:maps]
            ],
        )
        for _ in range(number)
    ]


@pytest.mark.parametrize(("number", "maps", "rows"), [(16, 2, 8), (9, 2, 5), (16, 1, 4), (1, 1, 1)])
def test_the_picture_has_a_row_a_sample(number: int, maps: int, rows: int) -> None:
    figure = draw_maps(samples(number, maps))
    *panels, _ = figure.axes
    assert len(panels) == number * (1 + maps)
    assert len({round(axes.get_position().y0, 6) for axes in panels}) == rows
    boxes = [axes.get_position() for axes in figure.axes]
    assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)
    for i, box in enumerate(boxes):
        for other in boxes[:i]:
            apart = box.x1 <= other.x0 or other.x1 <= box.x0
            assert apart or box.y1 <= other.y0 or other.y1 <= box.y0


def test_the_picture_shows_what_it_is_given() -> None:
    (sample,) = samples(1)
    image, given, true, legend = draw_maps([sample]).axes
    np.testing.assert_array_equal(image.images[0].get_array(), sample.image.transpose(1, 2, 0))
    assert image.get_title() == "predicted: cat"
    assert given.get_title() == "given: a class whose…"
    assert true.get_title() == "true: a class whose…"
    limit = scale(sample.maps)
    assert limit == np.quantile(np.abs([map.attribution for map in sample.maps]), 0.99)
    for panel, map in zip((given, true), sample.maps, strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), map.attribution)
        assert panel.images[0].get_clim() == (-limit, limit)
        red, _, blue, _ = panel.images[0].to_rgba(np.array(limit))
        assert red > blue
        assert min(panel.images[0].to_rgba(np.array(0.0))[:3]) > 0.95
    assert legend.get_xlabel().endswith("the maps of an image share a scale")


def test_empty_maps_and_grey_images_are_drawn(tmp_path: Path) -> None:
    (sample,) = samples(1, channels=1)
    empty = [map._replace(attribution=np.zeros((6, 6))) for map in sample.maps]
    assert scale(empty) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_maps([sample._replace(maps=empty)]).savefig(tmp_path / "x.png")


def test_end_to_end_by_deep_lift(image_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a network for which the method works, instead of the network of the run."""
    original = maps.load_trained

    def load(*arguments: Any) -> Any:
        run = original(*arguments)
        torch.manual_seed(0)  # two channels can both be dead at other draws
        model = nn.Sequential(nn.Conv2d(3, 2, 5), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten())
        run.classifier.model = nn.Sequential(model, nn.Linear(98, 2)).eval()
        return run

    monkeypatch.setattr(maps, "load_trained", load)
    explained = explain_run(image_run, samples=3, background=5, method="deep_lift_shap")
    assert explained.incompleteness is not None and explained.incompleteness < 1e-3
    assert "the sums of the maps miss the logit differences by 0.0% (rms)" in explained.describe()
    assert "draws" not in explained.describe()
