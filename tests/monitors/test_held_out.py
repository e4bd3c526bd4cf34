"""Predictions of the validation samples, from the pass that also measures them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from labelnoise.attribution.checkpoint import load_trained
from labelnoise.data.batch import Split
from labelnoise.learner.classifier import NoisyLabelClassifier
from tests.conftest import Run, present


def test_one_pass_an_epoch_gives_the_metrics_and_the_predictions(
    run_images: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    logits = NoisyLabelClassifier.logits

    def counted(module: NoisyLabelClassifier, split: Split, *more: torch.nn.Module) -> torch.Tensor:
        sizes.append(len(split))
        return logits(module, split, *more)

    monkeypatch.setattr(NoisyLabelClassifier, "logits", counted)
    run_images("monitor=held_out", "max_epochs=4")
    monkeypatch.undo()
    trained = load_trained(tmp_path / "run")
    val = present(trained.datamodule.val)
    assert sizes.count(len(val)) == 4 + 1  # the last pass is for the summary
    with np.load(tmp_path / "run" / "held_out.npz") as arrays:
        expected = trained.classifier.logits(val).double().softmax(1).float()
        np.testing.assert_array_equal(arrays["last_probability"], expected)
