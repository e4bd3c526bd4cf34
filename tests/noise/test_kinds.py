"""The drawn kinds of noise: rates, streams, refused options, and YAML files."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from labelnoise.errors import InputError
from labelnoise.noise import (
    CIFAR10_CLASSES,
    CIFAR100_CLASSES,
    AsymmetricNoise,
    ClassConditionalNoise,
    CleanSplit,
    InstanceDependentNoise,
    LabelNoise,
    NoiseRecord,
    NoNoise,
    PairFlipNoise,
    SymmetricNoise,
)
from labelnoise.noise.flips import flip_symmetric
from labelnoise.noise.matrices import (
    asymmetric_matrix,
    class_conditional_matrix,
    pairflip_matrix,
    symmetric_matrix,
)
from labelnoise.seeding import stream
from tests.conftest import present

CONF = Path(__file__).parents[2] / "conf" / "noise"
YAMLS = sorted(CONF.rglob("*.yaml"))
TEN = torch.arange(10).repeat(100)


def draw(noise: LabelNoise, part: str = "train") -> NoiseRecord:
    features = torch.randn(len(TEN), 4, generator=torch.Generator().manual_seed(0))
    return noise.draw(
        CleanSplit(TEN, 10, part=part, features=features, class_names=CIFAR10_CLASSES)
    )


DRAWN = [
    (SymmetricNoise(rate=0.4, seed=3), symmetric_matrix(10, 0.4)),
    (PairFlipNoise(rate=0.4, seed=3), pairflip_matrix(10, 0.4)),
    (AsymmetricNoise(rate=0.4, seed=3), asymmetric_matrix(10, 0.4)),
    (
        ClassConditionalNoise(rates=[k / 20 for k in range(10)], seed=3),
        class_conditional_matrix([k / 20 for k in range(10)]),
    ),
    (InstanceDependentNoise(rate=0.4, seed=3), None),
]
by_kind = pytest.mark.parametrize(
    ("noise", "matrix"), DRAWN, ids=[noise.kind for noise, _ in DRAWN]
)


@by_kind
def test_a_record_says_what_was_asked_for(noise: LabelNoise, matrix: torch.Tensor | None) -> None:
    record = draw(noise)
    assert (record.kind, record.seed, record.num_classes) == (noise.kind, 3, 10)
    assert record.rate_requested == getattr(noise, "rate", None)
    assert torch.equal(present(record.clean_label), TEN)
    if matrix is None:
        assert record.matrix_requested is None
        assert record.rate_realised == pytest.approx(0.4, abs=0.08)
    else:
        assert torch.equal(present(record.matrix_requested), matrix)
        assert (present(record.transition_matrix) - matrix).abs().max() < 0.2
    assert record.is_noisy.any()


@by_kind
def test_parts_have_streams_of_their_own(noise: LabelNoise, matrix: torch.Tensor | None) -> None:
    once = {part: draw(noise, part).label for part in ("train", "val", "test")}
    again = {part: draw(noise, part).label for part in ("test", "val", "train")}
    for part in once:
        assert torch.equal(once[part], again[part])
    assert not torch.equal(once["train"], once["val"])
    assert not torch.equal(once["train"], once["test"])
    assert not torch.equal(once["val"], once["test"])


def test_a_draw_is_its_stream() -> None:
    expected = flip_symmetric(TEN, 10, 0.4, stream(3, "noise", "val"))
    assert torch.equal(draw(SymmetricNoise(rate=0.4, seed=3), "val").label, expected)


def test_no_noise_is_a_copy() -> None:
    record = NoNoise(seed=1).draw(CleanSplit(TEN, 10))
    assert torch.equal(record.label, TEN)
    assert record.label.data_ptr() != present(record.clean_label).data_ptr()
    assert (record.rate_requested, record.rate_realised) == (0.0, 0.0)
    assert torch.equal(present(record.matrix_requested), torch.eye(10, dtype=torch.float64))


def test_class_1_is_plus_and_tau_plus_its_rate() -> None:
    noise = ClassConditionalNoise(tau_plus=0.1, tau_minus=0.3, seed=0)
    record = noise.draw(CleanSplit(torch.arange(2).repeat(1_000), 2))
    assert present(record.transition_matrix)[1, 0].item() == pytest.approx(0.1)
    assert present(record.transition_matrix)[0, 1].item() == pytest.approx(0.3)
    assert record.rate_requested is None
    same = ClassConditionalNoise(rates=[0.3, 0.1]).draw(CleanSplit(present(record.clean_label), 2))
    assert same.fingerprint == record.fingerprint


def test_class_conditional_of_one_rate_reports_it() -> None:
    noise = ClassConditionalNoise(tau_plus=0.2, tau_minus=0.2)
    assert noise.draw(CleanSplit(torch.arange(2).repeat(50), 2)).rate_requested == 0.2


@pytest.mark.parametrize(
    ("noise", "num_classes", "words"),
    [
        (ClassConditionalNoise(rates=[0.1, 0.1], tau_plus=0.1), 2, ["rates and tau_plus", "null"]),
        (ClassConditionalNoise(tau_plus=0.1, tau_minus=0.1), 3, ["3 classes", "noise.rates="]),
        (ClassConditionalNoise(), 2, ["write both"]),
        (ClassConditionalNoise(tau_plus=0.1), 2, ["tau_minus=None", "write both"]),
        (ClassConditionalNoise(rates=[0.1]), 2, ["1 rates for 2 classes"]),
        (ClassConditionalNoise(tau_plus=0.5, tau_minus=0.1), 2, ["tau_plus 0.5", "reversed"]),
        (ClassConditionalNoise(tau_plus=0.1, tau_minus=-0.1), 2, ["tau_minus -0.1", "negative"]),
        (ClassConditionalNoise(rates=[0.1, 0.6]), 2, ["class 1 0.6", "[0, 0.5)"]),
        (SymmetricNoise(rate=0.5), 2, ["majority"]),
        (SymmetricNoise(rate=0.9), 10, ["9/10"]),
        (PairFlipNoise(rate=0.5), 3, ["1/2"]),
        (AsymmetricNoise(rate=0.1), 10, ["no class names", "noise=pairflip"]),
        (InstanceDependentNoise(rate=0.1), 2, ["features", "noise=symmetric"]),
    ],
)
def test_refusals_say_what_to_write(noise: LabelNoise, num_classes: int, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        noise.draw(CleanSplit(torch.arange(num_classes), num_classes))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_asymmetric_noise_refuses_names_of_other_classes() -> None:
    with pytest.raises(InputError, match="ten classes of CIFAR-10"):
        AsymmetricNoise(rate=0.1).draw(CleanSplit(TEN, 10, class_names=[str(k) for k in range(10)]))


def test_asymmetric_noise_of_cifar100_stays_within_superclasses() -> None:
    clean = torch.arange(100).repeat(10)
    record = AsymmetricNoise(rate=0.3).draw(CleanSplit(clean, 100, class_names=CIFAR100_CLASSES))
    assert present(record.per_class_rates).tolist() == pytest.approx([0.3] * 100)
    assert torch.equal(present(record.matrix_requested), asymmetric_matrix(100, 0.3))


def test_without_labels_from_a_file_every_sample_is_kept() -> None:
    split = CleanSplit(TEN, 10, source_classes=range(10))
    for noise, _ in DRAWN:
        assert noise.keeps(split).all()


def test_labels_are_checked_where_they_enter() -> None:
    with pytest.raises(InputError, match="outside 0..4"):
        NoNoise().draw(CleanSplit(TEN, 5))


def test_a_kind_is_frozen_and_the_base_is_abstract() -> None:
    with pytest.raises(FrozenInstanceError):
        SymmetricNoise(rate=0.1).rate = 0.2  # type: ignore[misc]
    with pytest.raises(TypeError, match="abstract"):
        LabelNoise()  # type: ignore[abstract]


def test_every_kind_has_a_yaml() -> None:
    assert {path.stem for path in YAMLS} >= {
        "none",
        "symmetric",
        "pairflip",
        "class_conditional",
        "asymmetric",
        "instance",
        "human",
        "human_twin",
        "file",
    }


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_a_yaml_builds_its_kind_and_says_how_to_use_it(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert "python run.py " in first
    config = OmegaConf.create({"noise_rate": 0.3, "seed": 5, "noise": OmegaConf.load(path)})
    if OmegaConf.is_missing(config.noise, "path"):
        config.noise.path = "labels.npz"
    if OmegaConf.is_missing(config.noise, "matrix"):
        config.noise.matrix = "matrix.csv"
    noise = instantiate(config.noise)
    assert isinstance(noise, LabelNoise)
    assert noise.kind == path.stem
    assert noise.seed == 5


def test_a_yaml_list_of_rates_is_drawn_from() -> None:
    node = OmegaConf.load(CONF / "class_conditional.yaml")
    node.update({"rates": [0.0, 0.1, 0.2], "tau_plus": None, "tau_minus": None, "seed": 0})
    record = instantiate(node).draw(CleanSplit(torch.arange(3).repeat(10), 3))
    assert record.per_class_rates.tolist() == pytest.approx([0, 0.1, 0.2])
