from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from labelnoise.data import SignalNoiseDataModule
from labelnoise.errors import InputError
from labelnoise.noise import NoNoise, SymmetricNoise
from tests.conftest import present


def made(**options: Any) -> SignalNoiseDataModule:
    options = {"n": 40, "d": 50, "n_val": 10, "n_test": 30, **options}
    module = SignalNoiseDataModule(SymmetricNoise(rate=0.2, seed=1), **options)
    module.setup()
    return module


def test_samples_are_a_signal_patch_and_a_noise_patch() -> None:
    module = made(xi_std=2.0)
    y = 2.0 * module.train.clean_label - 1
    torch.testing.assert_close(module.train.input[:][:, 0], y[:, None] * present(module.signal))
    assert torch.equal(module.train.input[:][:, 1], module.noise_patches)
    # n SNR^2 = n |mu|^2 / (sigma_xi^2 d) = 8
    assert 40 * present(module.signal).norm().item() ** 2 / (4 * 50) == pytest.approx(8.0)


def test_noise_patches_have_the_variance_asked_for() -> None:
    xi = made(n=400, d=500, xi_std=3.0).noise_patches
    assert xi.mean().item() == pytest.approx(0.0, abs=5 * 3 / math.sqrt(xi.numel()))
    assert xi.std().item() == pytest.approx(3.0, rel=5 / math.sqrt(2 * xi.numel()))


def test_the_signals_norm_can_be_given_itself() -> None:
    signal = present(made(n_snr_squared=None, signal_norm=1.5).signal)
    assert signal.norm().item() == pytest.approx(1.5)


def test_orthogonal_noise_patches_have_no_part_along_the_signal() -> None:
    plain, projected = made(), made(orthogonal=True)
    assert (projected.noise_patches @ present(projected.signal)).abs().max() < 1e-5
    assert (plain.noise_patches @ present(plain.signal)).abs().max() > 0.1
    torch.testing.assert_close(projected.noise_patches[:, 1:], plain.noise_patches[:, 1:])


def test_permuted_patches_are_the_same_patches() -> None:
    plain, permuted = made(), made(permute_patches=True)
    swapped = (plain.train.input[:] != permuted.train.input[:]).flatten(1).any(1)
    assert 0 < swapped.sum() < 40
    assert torch.equal(permuted.train.input[swapped], plain.train.input[swapped].flip(1))


@pytest.mark.parametrize(("n", "expected"), [(40, 20), (41, 21)])
def test_balanced_classes_are_exactly_balanced(n: int, expected: int) -> None:
    assert int(made(n=n, balanced=True).train.clean_label.sum()) == expected


def test_exactly_the_share_asked_for_is_flipped_in_every_split() -> None:
    module = made()
    assert int(module.train.is_noisy.sum()) == 8
    assert module.val is not None and int(module.val.is_noisy.sum()) == 2
    assert int(module.test.is_noisy.sum()) == 6
    assert module.noise_record.rate_realised == 0.2


def test_float32_and_float64_data_of_one_seed_are_the_same_data() -> None:
    single, double = made(), made(dtype="float64")
    assert double.train.input.dtype == torch.float64
    torch.testing.assert_close(
        single.train.input[:].double(), double.train.input[:], rtol=1e-6, atol=0
    )
    assert torch.equal(single.train.label, double.train.label)


def test_streams_are_separate() -> None:
    """Another noise seed leaves the samples, another sample seed leaves the noise's draws."""
    one = made()
    other_noise = SignalNoiseDataModule(SymmetricNoise(rate=0.2, seed=2), n=40, d=50)
    other_noise.setup()
    assert torch.equal(one.train.input[:], other_noise.train.input[:])
    assert not torch.equal(one.train.label, other_noise.train.label)
    assert not torch.equal(one.train.input[:], made(seed=9).train.input[:])
    assert torch.equal(one.train.is_noisy, made(seed=9).train.is_noisy)
    assert one.val is not None
    for split in (one.val, one.test):
        assert not torch.equal(one.train.input[:][: len(split)], split.input[:])
    assert not torch.equal(one.val.input[:], one.test.input[:][:10])


def test_full_batch_training_is_one_long_epoch() -> None:
    loader = made(steps=7).train_dataloader()
    batches = list(loader)
    assert len(loader) == len(batches) == 7
    assert all(batch is batches[0] for batch in batches)


def test_mini_batches_cover_every_pass_once() -> None:
    batches = list(made(batch_size=15, steps=5).train_dataloader())
    assert [len(batch.index) for batch in batches] == [15, 15, 10, 15, 15, 10]
    first = torch.cat([batch.index for batch in batches[:3]])
    second = torch.cat([batch.index for batch in batches[3:]])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(40))
    assert first.tolist() != second.tolist()


def test_without_validation_samples_there_is_no_validation() -> None:
    module = made(n_val=0)
    assert module.val is None and module.val_dataloader() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 1}, "data.n must be a whole number of at least 2, got 1"),
        ({"d": -1}, "data.d must be a whole number of at least 1, got -1"),
        ({"n_test": 0}, "data.n_test must be a whole number of at least 1"),
        ({"n_val": -1}, "data.n_val must be a whole number of at least 0"),
        ({"xi_std": 0.0}, "data.xi_std must be a number above 0"),
        ({"xi_std": float("nan")}, "data.xi_std must be a number above 0"),
        ({"dtype": "float16"}, "data.dtype must be one of float32, float64, got float16"),
        ({"signal_norm": 1.0}, "give one of data.n_snr_squared and data.signal_norm"),
        ({"n_snr_squared": -8.0}, "data.n_snr_squared must be a number above 0, got -8.0"),
        ({"batch_size": 41, "n": 40}, "batch_size must be a whole number from 1 to 40, got 41"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SignalNoiseDataModule(NoNoise(), **options)


def test_coefficients_need_as_many_dimensions_as_patches() -> None:
    with pytest.raises(InputError, match="unique"):
        _ = made(n=40, d=40).decomposition
    assert made(n=40, d=41).decomposition is not None
