"""Records of training steps, for references that repeat them sample by sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from labelnoise.data.batch import Batch
from labelnoise.learner.classifier import NoisyLabelClassifier


@dataclass
class Step:
    """A training step: the served batch, its logits before the step, and the loss."""

    number: int
    batch: Batch
    plain_logits: Tensor
    logits: Tensor
    loss: float


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Filled by the runs of a test."""
    seen: list[Step] = []
    original = NoisyLabelClassifier.training_step

    def training_step(module: NoisyLabelClassifier, batch: Batch, index: int) -> Any:
        with torch.no_grad():
            plain = module.model(batch.input)
        output = original(module, batch, index)
        number, loss = module.trainer.global_step, output["loss"].item()
        seen.append(Step(number, batch, plain, output["logits"], loss))
        return output

    monkeypatch.setattr(NoisyLabelClassifier, "training_step", training_step)
    return seen
