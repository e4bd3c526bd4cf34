from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev
from torch.nn import functional as F

from labelnoise.config.composition import compose
from labelnoise.data.batch import Split
from labelnoise.errors import InputError
from labelnoise.learner.history import History
from labelnoise.measures.curvature import frobenius_norm, hessian_vector_product, top_eigenvalue
from labelnoise.models import SmallCNN, TwoLayerCNN
from labelnoise.monitors import CurvatureMonitor
from labelnoise.monitors.curvature import stable_eigenvalue
from labelnoise.report.loaded import load_run
from labelnoise.report.pictures.curvature import draw_curvature
from labelnoise.run_directory import RunDirectory
from labelnoise.seeding import stream
from labelnoise.training.train import build, claim
from tests.conftest import TINY, Run


def split_of(*shape: int) -> Split:
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(12) % 2
    input = torch.randn(12, *shape, generator=generator, dtype=torch.float64)
    return Split(input, label, label.flip(0), torch.arange(12))


def full_hessian(model: nn.Module, split: Split) -> torch.Tensor:
    """The independent way: all of it at once, as the Jacobian of torch.func's gradient."""
    shapes = {name: p.shape for name, p in model.named_parameters()}
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])

    def loss(weights: torch.Tensor) -> torch.Tensor:
        parts = weights.split([shape.numel() for shape in shapes.values()])
        named = {n: w.view(s) for (n, s), w in zip(shapes.items(), parts, strict=True)}
        return F.cross_entropy(functional_call(model, named, (split.input,)), split.label)

    return jacrev(jacrev(loss))(flat)


def symmetric(eigenvalues: torch.Tensor) -> torch.Tensor:
    """A matrix with these eigenvalues and random eigenvectors."""
    n = len(eigenvalues)
    vectors, _ = torch.linalg.qr(torch.randn(n, n, generator=stream(0, "q"), dtype=torch.float64))
    return vectors @ torch.diag(eigenvalues.double()) @ vectors.T


def signs(size: int, generator: torch.Generator) -> torch.Tensor:
    return 2.0 * torch.randint(2, (size,), generator=generator) - 1


MODELS = [
    (lambda: TwoLayerCNN((2, 6), 2, filters=3, sigma_0=1.0), (2, 6)),
    (lambda: SmallCNN((1, 8, 8), 2, width=1), (1, 8, 8)),
]


@pytest.mark.parametrize(("make", "shape"), MODELS, ids=["two_layer_cnn", "cnn"])
def test_products_eigenvalue_and_norm_are_those_of_the_full_hessian(
    make: type[nn.Module], shape: tuple[int, ...]
) -> None:
    model, split = make().double(), split_of(*shape)
    full = full_hessian(model, split)
    size = len(full)

    def product(vector: torch.Tensor) -> torch.Tensor:
        return hessian_vector_product(model, split, vector, batch_size=5)

    vector = torch.randn(size, generator=stream(1, "v"), dtype=torch.float64)
    torch.testing.assert_close(product(vector), full @ vector, rtol=1e-9, atol=1e-11)
    top = top_eigenvalue(product, vector, iterations=40, tolerance=1e-6)
    expected = torch.linalg.eigvalsh(full)[-1].item()
    assert expected > 0.01
    assert top.eigenvalue == pytest.approx(expected, rel=1e-8)
    vectors = [signs(size, stream(i, "s")) for i in range(30)]
    for known in (None, top_eigenvalue(product, vector, iterations=3)):
        estimate = frobenius_norm(product, vectors, known)
        error = abs(estimate.value - full.norm().item())
        assert error < 4 * estimate.standard_error
        assert estimate.standard_error < (0.3 if known is None else 0.15) * full.norm()
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    "eigenvalues",
    [
        torch.tensor([3.0, 1.0, 0.5, -10.0, *[0.01] * 30]),  # a negative one is the largest in size
        torch.linspace(-1, 1, 30),
        torch.tensor([*[2.0] * 5, *[1.0] * 5]),  # Krylov's space has two dimensions
        -torch.linspace(1, 2, 8),
        torch.zeros(4),
    ],
    ids=["indefinite", "dense", "repeated", "negative", "zero"],
)
def test_lanczos_finds_the_largest_eigenvalue(eigenvalues: torch.Tensor) -> None:
    matrix = symmetric(eigenvalues)
    start = torch.randn(len(matrix), generator=stream(0, "start"))
    found = top_eigenvalue(lambda v: matrix @ v, start, iterations=len(matrix), tolerance=0)
    assert found.eigenvalue == pytest.approx(eigenvalues.max().item(), abs=1e-9)
    gram = found.basis @ found.basis.T
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=gram.dtype), atol=1e-12, rtol=0)
    captured = (matrix @ found.basis.T).square().sum().item()
    assert found.captured == pytest.approx(captured, abs=1e-12)


@pytest.mark.parametrize("iterations", [1, 3, 8])
def test_an_eigenvalue_lies_within_the_residual(iterations: int) -> None:
    eigenvalues = torch.linspace(-1, 1, 40).double() ** 3
    matrix = symmetric(eigenvalues)
    start = torch.randn(40, generator=stream(0, "start"))
    found = top_eigenvalue(lambda v: matrix @ v, start, iterations, tolerance=0)
    assert len(found.basis) == iterations
    assert (eigenvalues - found.eigenvalue).abs().min() <= found.residual
    assert found.eigenvalue <= 1 + 1e-12


def test_the_norm_has_no_bias_and_an_honest_error_with_a_part_known() -> None:
    """Over many draws: |H|_F^2 on average, and as far from it as the standard error says."""
    matrix = symmetric(torch.tensor([5.0, 2.0, -1.5, *[0.4] * 27]))
    start = torch.randn(30, generator=stream(0, "start"))
    known = top_eigenvalue(lambda v: matrix @ v, start, iterations=2)
    generator = stream(0, "signs")
    squares, scores = [], []
    for _ in range(300):
        vectors = [signs(30, generator) for _ in range(20)]
        found = frobenius_norm(lambda v: matrix @ v, vectors, known)
        squares.append(found.value**2)
        scores.append((found.value - matrix.norm().item()) / found.standard_error)
    mean, spread = torch.tensor(squares).mean(), torch.tensor(squares).std() / math.sqrt(300)
    assert abs(mean - matrix.norm().square()) < 4 * spread
    assert torch.tensor(scores).std() == pytest.approx(1, abs=0.25)


def test_a_network_that_diverged_has_no_curvature() -> None:
    found = top_eigenvalue(lambda v: v * math.nan, torch.ones(3), iterations=3)
    assert math.isnan(found.eigenvalue)
    estimate = frobenius_norm(lambda v: v * math.nan, [torch.ones(3)] * 2, found)
    assert math.isnan(estimate.value) and math.isnan(estimate.standard_error)


def same_ends(one: Path, other: Path) -> bool:
    """Weights, batch norm's statistics, momentum and random streams, bit for bit."""
    watched, alone = (
        torch.load(path / "checkpoints" / "last.ckpt", weights_only=True) for path in (one, other)
    )
    for part in ("state_dict", "rng_state", "optimizer_states"):
        torch.testing.assert_close(watched[part], alone[part], rtol=0, atol=0)
    return True


def test_watching_changes_nothing(run_tiny: Run, tmp_path: Path) -> None:
    options = ("batch_size=7", "optimizer.momentum=0.9")
    run_tiny("monitor=curvature", *options, name="watched")
    run_tiny("monitor=none", *options, name="alone")
    assert same_ends(tmp_path / "watched", tmp_path / "alone")


def test_watching_changes_nothing_with_batch_norm_and_dropout(
    run_images: Run, tmp_path: Path
) -> None:
    options = ("model._target_=tests.parts.Dropped", "optimizer.momentum=0.9", "max_epochs=2")
    run_images("monitor=curvature", "monitor.curvature.probe_size=20", *options, name="watched")
    run_images("monitor=none", *options, name="alone")
    assert same_ends(tmp_path / "watched", tmp_path / "alone")
    assert load_run(tmp_path / "watched").history.at("curvature/frobenius_norm", 12) > 0


@pytest.mark.slow
def test_metrics_are_of_the_network_at_their_step(run_tiny: Run, tmp_path: Path) -> None:
    """At step 60, against the full Hessian over all training samples."""
    options = ("monitor=[coefficients,memorization,curvature]", "data.dtype=float64")
    run_tiny(*options, "monitor.curvature.iterations=60", "optimizer.momentum=0.5", "figures=true")
    history = load_run(tmp_path / "run").history
    cfg = compose([*TINY, *options])
    with claim(tmp_path / "again", cfg, []) as directory:
        parts = build(cfg, directory)
    checkpoint = tmp_path / "run" / "checkpoints" / "selected.ckpt"
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    parts.classifier.model.load_state_dict({"weight": state["model.weight"]})
    full = full_hessian(parts.classifier.model, parts.datamodule.train)
    top = torch.linalg.eigvalsh(full)[-1].item()
    assert history.at("curvature/top_eigenvalue", 60) == pytest.approx(top, rel=1e-3)
    assert history.at("curvature/sharpness_times_lr", 60) == pytest.approx(0.05 * top / 3, rel=1e-3)
    norm = history.at("curvature/frobenius_norm", 60)
    error = history.at("curvature/frobenius_norm_error", 60)
    assert abs(norm - full.norm()) < 4 * error + 1e-3 * norm
    assert (tmp_path / "run" / "figures" / "curvature.png").is_file()


def test_where_a_quadratic_loss_is_stable() -> None:
    """Gradient descent on lambda w^2 / 2 just below and just above the limit."""
    for momentum in (0.0, 0.9):
        weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=0.3, momentum=momentum)
        limit = stable_eigenvalue(optimizer)
        assert limit is not None
        for factor, grows in ((0.98, False), (1.02, True)):
            weight.data.fill_(1.0)
            optimizer.state.clear()
            for _ in range(2000):
                weight.grad = factor * limit * weight.detach()
                optimizer.step()
            assert (abs(weight.item()) > 1) is grows
    assert stable_eigenvalue(torch.optim.Adam([torch.zeros(1)])) is None


def test_the_figure_marks_the_stages_and_leaves_out_what_has_no_limit(tmp_path: Path) -> None:
    row = {"curvature/top_eigenvalue": -1.0, "curvature/frobenius_norm": 2.0,
           "curvature/frobenius_norm_error": 0.1, "train/acc_clean": 0.5}  # fmt: skip
    history = History({step: row for step in (1, 2, 3)})
    stages = {"clean_fit_step": 2, "crossing_step": None, "memorized_step": None}
    figure = draw_curvature(RunDirectory(tmp_path), history, {"stages": stages})
    assert figure is not None
    sizes, accuracies = figure.axes
    assert sizes.get_yscale() == "linear"
    for panel in (sizes, accuracies):
        assert [2, 2] in [list(np.asarray(line.get_xdata())) for line in panel.lines]
    assert draw_curvature(RunDirectory(tmp_path), History(), {"stages": stages}) is None


def test_bad_options_are_refused() -> None:
    for name, message in (
        ("probe_size", "a whole number of at least 1, got 0"),
        ("vectors", "a whole number from 2 to 10,000, got 0"),
    ):
        with pytest.raises(InputError, match=f"monitor.curvature.{name} must be {message}"):
            CurvatureMonitor(**{name: 0})
