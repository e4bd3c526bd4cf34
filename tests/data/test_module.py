from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from labelnoise.data import SignalNoiseDataModule, module
from labelnoise.data.batch import Batch, Split
from labelnoise.data.loaders import Normalize, TensorLoader, crop_and_flip
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.noise.kinds import SymmetricNoise
from labelnoise.selection import select_keep_rate
from tests.conftest import present

META = torch.device("meta")  # shapes without memory, standing for a GPU


def made() -> SignalNoiseDataModule:
    data = SignalNoiseDataModule(SymmetricNoise(rate=0.2, seed=1), n=20, d=30, n_val=0, n_test=500)
    data.setup()
    return data


def test_on_the_cpu_nothing_moves() -> None:
    data = made()
    before = data.train, data.test
    data.place_on(torch.device("cpu"))
    assert (data.train, data.test) == before and data.train is before[0]
    assert module.free_memory(torch.device("cpu")) == 0


def test_a_split_moves_where_half_of_the_free_memory_holds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = made()
    assert data.train.nbytes == 20 * (2 * 30 * 4 + 4 * 8) < data.test.nbytes
    monkeypatch.setattr(module, "free_memory", lambda device: 2 * data.train.nbytes)
    data.place_on(META)
    assert {present(tensor).device for tensor in data.train.batch()} == {META}
    assert data.train.source_index.device == META and len(data.train) == 20
    assert data.test.input.device.type == "cpu"  # too large, served from there
    moved = data.train
    data.place_on(META)
    assert data.train is moved


def test_batches_are_made_where_the_split_lies() -> None:
    from tests.data.test_loaders import make_split

    split = make_split(10).to(META)

    def augment(images: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
        return crop_and_flip(images, 1, generator)

    for batch_size in (4, None):
        for batch in TensorLoader(split, batch_size, shuffle_seed=0, augment=augment):
            assert {present(tensor).device for tensor in batch} == {META}
            assert batch.input.dtype == torch.float32


def test_normalisation_is_sent_to_a_device_once() -> None:
    normalize = Normalize([0.5], [0.25])
    normalize(torch.zeros(1, 1, 2, 2, device=META))
    sent = normalize._by_device[META]
    normalize(torch.zeros(1, 1, 2, 2, device=META))
    assert normalize._by_device[META] is sent
    assert normalize(torch.zeros(1, 1, 1, 1, dtype=torch.uint8)).item() == -2.0


def test_a_batch_from_elsewhere_is_moved() -> None:
    batch = made().train.batch(slice(3))
    moved = made().transfer_batch_to_device(batch, META, 0)
    assert isinstance(moved, Batch) and {present(tensor).device for tensor in moved} == {META}
    assert made().transfer_batch_to_device(batch, torch.device("cpu"), 0) is batch


def test_batches_losses_and_logits_stay_on_the_gpu() -> None:
    """Tensors that only have a device and a shape: mixing devices fails as on a real GPU."""
    gpu = torch.device("cuda:0")
    with FakeTensorMode(allow_non_fake_inputs=True):
        images, label = torch.zeros(20, 3, 8, 8, dtype=torch.uint8), torch.zeros(20).long()
        normalize = Normalize([0.5] * 3, [0.25] * 3)
        split = Split(images, label, label.clone(), label.clone(), normalize).to(gpu)
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2, device=gpu))
        classifier = NoisyLabelClassifier(network, torch.optim.SGD, channels_last=True)
        classifier._device = gpu  # as Lightning leaves it when it has moved the module
        classifier.sample_weight = torch.ones(20, device=gpu)
        augment = partial(crop_and_flip, padding=1)
        for size in (6, None):
            for batch in TensorLoader(split, size, shuffle_seed=0, augment=augment, world_size=2):
                assert {present(tensor).device for tensor in batch} == {gpu}
                assert classifier.training_step(batch, 0)["loss"].device == gpu
        assert classifier.logits(split).device == gpu
        assert split.subset(torch.arange(5)).batch().index.device == gpu
        assert select_keep_rate(torch.rand(20, device=gpu), 0.5).device == gpu
