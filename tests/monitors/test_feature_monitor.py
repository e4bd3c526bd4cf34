from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from labelnoise.data.batch import Split
from labelnoise.errors import InputError
from labelnoise.models import SmallCNN, TwoLayerCNN
from labelnoise.monitors import FeatureMonitor
from labelnoise.monitors.features import active_units, feature_metrics
from labelnoise.report.loaded import load_run
from tests.conftest import Run


def split_of(*shape: int) -> Split:
    label = torch.arange(7) % 2
    return Split(torch.randn(7, *shape, generator=torch.Generator().manual_seed(0)), label, label,
                 label)  # fmt: skip


def test_units_of_the_two_layer_cnn_are_filters_on_patches() -> None:
    model, split = TwoLayerCNN((2, 6), 2, filters=3, sigma_0=1.0), split_of(2, 6)
    active = active_units(model, split, batch_size=3)
    expected = [
        [float(w @ patch) > 0 for patch in sample for w in model.weight.detach().flatten(0, 1)]
        for sample in split.input
    ]
    assert active.tolist() == expected
    assert 0 < active.sum() < active.numel()


def test_units_on_images_are_filters_on_windows() -> None:
    model, split = (
        TwoLayerCNN((1, 4, 4), 2, filters=2, sigma_0=1.0, kernel_size=3),
        split_of(1, 4, 4),
    )
    active = active_units(model, split, batch_size=3)
    filters = model.weight.detach().flatten(0, 1).flatten(1)
    for sample, row in zip(split.input, active, strict=True):
        windows = [sample[:, i : i + 3, j : j + 3].flatten() for i in (0, 1) for j in (0, 1)]
        assert row.tolist() == [float(w @ x) > 0 for w in filters for x in windows]


def test_of_a_network_of_modules_the_last_relu_counts() -> None:
    """Two layers share one module that is called last, and writes into its input."""
    first, last, relu = nn.Linear(5, 4), nn.Linear(4, 3), nn.ReLU(inplace=True)
    model = nn.Sequential(first, relu, last, relu, nn.Linear(3, 2))
    split = split_of(5)
    active = active_units(model, split, batch_size=3)
    assert torch.equal(active, last(first(split.input).relu()) > 0)
    assert not relu._forward_hooks
    cnn = SmallCNN((1, 8, 8), 2, width=1)
    assert active_units(cnn, split_of(1, 8, 8), batch_size=3).shape == (7, 8)


def test_metrics_equal_a_count_by_hand() -> None:
    active = torch.rand(6, 5, generator=torch.Generator().manual_seed(0)) < 0.3
    rows = active.tolist()
    assert feature_metrics(active) == pytest.approx({
        "active_share": sum(map(sum, rows)) / 30,
        "dead_share": sum(not any(column) for column in zip(*rows, strict=True)) / 5,
    })  # fmt: skip


def test_a_network_without_relu_is_refused() -> None:
    with pytest.raises(InputError, match="monitor=features needs a ReLU layer, but Linear has"):
        active_units(nn.Linear(5, 2), split_of(5), batch_size=3)


def test_bad_options_are_refused() -> None:
    with pytest.raises(
        InputError, match="monitor.features.probe_size must be a whole number of at least 1, got 0"
    ):
        FeatureMonitor(probe_size=0)


def test_watching_changes_nothing(run_images: Run, tmp_path: Path) -> None:
    run_images("monitor=features", "max_epochs=2", name="watched")
    run_images("monitor=none", "max_epochs=2", name="alone")
    watched, alone = (
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        for name in ("watched", "alone")
    )
    for part in ("state_dict", "rng_state", "optimizer_states"):
        torch.testing.assert_close(watched[part], alone[part], rtol=0, atol=0)
    history = load_run(tmp_path / "watched").history
    assert history.series("features/active_share")[0].tolist() == [0, 6, 12]
