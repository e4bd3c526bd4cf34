"""Digits without a download."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from labelnoise.config.composition import compose
from labelnoise.data.digits import DigitsDataModule
from labelnoise.errors import InputError
from labelnoise.noise import NoNoise, SymmetricNoise
from labelnoise.training.building import build_learner
from tests.conftest import present


def test_the_images_are_those_of_scikit_learn_in_their_order() -> None:
    data = DigitsDataModule(NoNoise(), batch_size=50, val_fraction=0.0)
    data.setup()
    digits = load_digits()
    assert len(data.train) == 1297 and len(data.test) == 500
    seen = torch.cat([data.train.input[:], data.test.input[:]])[:, 0].numpy()
    assert np.array_equal(np.round(seen / 255 * 16), digits.images)
    label = torch.cat([data.train.label, present(data.test.clean_label)])
    assert np.array_equal(label.numpy(), digits.target)


def test_mean_and_deviation_are_those_of_the_training_images() -> None:
    data = DigitsDataModule(SymmetricNoise(0.2), batch_size=50, val_fraction=0.0)
    data.setup()
    input = data.train.batch().input.double()
    assert input.mean().item() == pytest.approx(0, abs=1e-3)
    assert input.std().item() == pytest.approx(1, abs=1e-3)
    assert 0.15 < data.train.is_noisy.double().mean() < 0.25


def test_augmentation_is_refused() -> None:
    with pytest.raises(InputError, match="a mirrored digit is not a digit"):
        build_learner(compose(["data=digits", "data.augment=true"]))
