from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from labelnoise.data.batch import Split
from labelnoise.errors import InputError
from labelnoise.measures.gradients import (
    compared_with_total,
    pair_angles,
    per_sample_gradients,
    summed_gradient,
)
from labelnoise.models import TwoLayerCNN
from labelnoise.monitors import GradientMonitor
from labelnoise.report.loaded import load_run
from tests.conftest import Run, present


def flat_gradient(model: nn.Module, input: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """The independent way: .backward() of one sample, read from .grad."""
    model.zero_grad()
    F.cross_entropy(model(input[None]), label[None]).backward()
    return torch.cat([present(p.grad).flatten() for p in model.parameters()])


@pytest.fixture
def split() -> Split:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(14) % 2
    clean = label.clone()
    clean[[1, 4, 9]] = 1 - clean[[1, 4, 9]]
    input = torch.randn(14, 2, 6, generator=generator, dtype=torch.float64)
    return Split(input, label, clean, torch.arange(14))


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(TwoLayerCNN((2, 6), 2, filters=3, sigma_0=1.0), nn.Linear(2, 2)).double()


def test_sums_and_per_sample_gradients_are_backwards(model: nn.Module, split: Split) -> None:
    expected = torch.stack(
        [flat_gradient(model, x, y) for x, y in zip(split.input, split.label, strict=True)]
    )
    model.zero_grad()
    total = torch.cat([g.flatten() for g in summed_gradient(model, split, batch_size=4)])
    torch.testing.assert_close(total, expected.sum(0), rtol=1e-12, atol=1e-14)
    names = [name for name, _ in model.named_parameters()]
    each = per_sample_gradients(model, split, names, batch_size=5)
    torch.testing.assert_close(each, expected, rtol=1e-10, atol=1e-12)
    assert all(p.grad is None for p in model.parameters())


def test_every_layer_is_compared_with_its_total_also_where_the_parts_cancel() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = tuple(torch.randn(size, generator=generator) for size in ((3, 4), (5,)))
    noisy = tuple(-(1 - 1e-4) * part for part in clean)
    norm, cos_clean, cos_noisy = compared_with_total(clean, noisy, n=7)
    expected = [1e-4 * part.norm().item() / 7 for part in clean]
    assert norm.tolist() == pytest.approx(expected, rel=1e-2)
    assert cos_clean.tolist() == pytest.approx([1, 1], abs=1e-4)
    assert cos_noisy.tolist() == pytest.approx([-1, -1], abs=1e-4)


def test_angles_are_of_pairs_of_one_true_class() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    gradients[3] = 0  # has no direction
    clean, noisy = torch.arange(9) % 2, torch.arange(9) % 3 == 0
    found = pair_angles(gradients, clean, noisy)
    expected: dict[str, list[float]] = {name: [] for name in found}
    for i in range(9):
        for j in range(i + 1, 9):
            if clean[i] == clean[j] and 3 not in (i, j):
                a, b = gradients[i].numpy(), gradients[j].numpy()
                cos = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                kind = ("clean_clean", "clean_noisy", "noisy_noisy")[int(noisy[i]) + int(noisy[j])]
                expected[kind].append(np.degrees(np.arccos(cos)))
    for name, angles in expected.items():
        np.testing.assert_allclose(found[name], angles)


def test_metrics_follow_from_the_gradients_of_the_kept_network(
    run_images: Run, tmp_path: Path
) -> None:
    """At the last step, against gradients that are added up sample by sample."""
    from labelnoise.run_directory import claim
    from labelnoise.training.building import build

    run_images("monitor=gradients", "noise_rate=0.3")
    run = load_run(tmp_path / "run")
    from omegaconf import DictConfig, OmegaConf

    cfg = OmegaConf.load(tmp_path / "run" / ".hydra" / "config.yaml")
    assert isinstance(cfg, DictConfig)
    with claim(tmp_path / "again", cfg, []) as directory:
        parts = build(cfg, directory)
    state = torch.load(tmp_path / "run" / "checkpoints" / "selected.ckpt", weights_only=True)
    model = parts.classifier.model
    model.load_state_dict(
        {name.removeprefix("model."): v for name, v in state["state_dict"].items()}
    )
    train = parts.datamodule.train
    batch = train.batch()
    each = torch.stack(
        [flat_gradient(model, x, y) for x, y in zip(batch.input, batch.label, strict=True)]
    ).double()
    clean = each[~train.is_noisy].sum(0) / len(train)
    noisy = each[train.is_noisy].sum(0) / len(train)
    # Both classes' gradients put end to end.
    apart = {
        name: torch.cat([each[side & (train.clean_label == k)].sum(0) for k in range(2)])
        for name, side in (("clean", ~train.is_noisy), ("noisy", train.is_noisy))
    }
    expected = {
        "norm_clean": clean.norm(),
        "norm_noisy": noisy.norm(),
        "norm_total": each.mean(0).norm(),
        "dominance_summed": clean.norm() / noisy.norm(),
        "alpha_summed": -(clean @ noisy) / (clean @ clean),
        "cos_clean_noisy_summed": F.cosine_similarity(clean, noisy, dim=0),
        "dominance": apart["clean"].norm() / apart["noisy"].norm(),
        "alpha": -(apart["clean"] @ apart["noisy"]) / (apart["clean"] @ apart["clean"]),
        "cos_clean_noisy": F.cosine_similarity(apart["clean"], apart["noisy"], dim=0),
        "cos_total_clean": F.cosine_similarity(each.mean(0), clean, dim=0),
        "cos_total_noisy": F.cosine_similarity(each.mean(0), noisy, dim=0),
    }
    for name, value in expected.items():
        found = run.history.at(f"gradients/{name}", 24)
        assert found == pytest.approx(value.item(), rel=1e-4), name
    arrays = run.gradients()
    assert arrays["steps"].tolist() == [0, 6, 12, 18, 24]
    sizes = [p.numel() for p in model.parameters()]
    by_layer = zip(each.mean(0).split(sizes), clean.split(sizes), noisy.split(sizes), strict=True)
    for layer, (total, right, wrong) in enumerate(by_layer):
        for name, value in {
            "norm_total": total.norm(),
            "cos_total_clean": F.cosine_similarity(total, right, dim=0),
            "cos_total_noisy": F.cosine_similarity(total, wrong, dim=0),
        }.items():
            assert arrays[name][-1, layer] == pytest.approx(value.item(), rel=1e-4), name
    for k in range(2):
        of_class = (~train.is_noisy) & (train.clean_label == k)
        norm = (each[of_class].sum(0) / len(train)).norm().item()
        assert arrays["class_norm_clean"][-1, k] == pytest.approx(norm, rel=1e-4)
    pairs = arrays["angle_histogram"][-1].sum(1)
    n_clean, n_noisy = (
        np.bincount(train.clean_label[s], minlength=2) for s in (~train.is_noisy, train.is_noisy)
    )
    assert pairs[0] == (n_clean * (n_clean - 1) // 2).sum()
    assert pairs[1] == (n_clean * n_noisy).sum()
    assert pairs[2] == (n_noisy * (n_noisy - 1) // 2).sum()


def test_at_the_start_dominance_is_that_of_the_noise_rate(run_tiny: Run, tmp_path: Path) -> None:
    """Before learning, |g_noise| / |g_clean| is about delta / (1 - delta)."""
    run_tiny(
        "monitor=gradients", "data.n=400", "data.d=10", "data.n_snr_squared=2000", "max_steps=1",
        "model.filters=50",
    )  # fmt: skip
    history = load_run(tmp_path / "run").history
    assert history.at("gradients/dominance", 0) == pytest.approx(0.8 / 0.2, rel=0.1)
    assert history.at("gradients/cos_clean_noisy", 0) < -0.9


@pytest.mark.parametrize("per_sample", ["last", "all", "none"])
def test_which_gradients_are_compared(run_images: Run, tmp_path: Path, per_sample: str) -> None:
    run_images("monitor=gradients", f"monitor.gradients.per_sample={per_sample}", "max_epochs=1")
    has_angles = "gradients/angle_clean_noisy" in load_run(tmp_path / "run").history.names
    assert has_angles is (per_sample != "none")


def test_bad_options_are_refused(run_images: Run) -> None:
    with pytest.raises(InputError, match="per_sample must be one of last, all, none"):
        GradientMonitor(per_sample="first")
    with pytest.raises(InputError, match="probe_size must be a whole number of at least 2"):
        GradientMonitor(probe_size=1)
    with pytest.raises(InputError, match="probe_size is 55 but there are 54 training samples"):
        run_images("monitor=gradients", "monitor.gradients.probe_size=55")
