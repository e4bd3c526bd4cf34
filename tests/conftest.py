"""Small runs that every test of the whole can afford."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from labelnoise.classifier import NoisyLabelClassifier
from labelnoise.config import compose
from labelnoise.training import train

# d >= n + 1, so that gamma and rho exist; half a second a run.
TINY = (
    "data.n=20",
    "data.d=60",
    "data.n_val=20",
    "data.n_test=50",
    "model.filters=4",
    "max_steps=60",
    "log_every_n_steps=10",
    "eval_every_n_steps=20",
    "checkpoint_every_n_steps=20",
    "threads=1",
    "trainer.enable_progress_bar=false",
    "logger=none",
)

Run = Callable[..., dict[str, Any]]
Kill = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def tiny_config() -> Callable[..., DictConfig]:
    return lambda *overrides: compose([*TINY, *overrides])


@pytest.fixture
def run_tiny(tmp_path: Path, tiny_config: Callable[..., DictConfig]) -> Run:
    def run(*overrides: str, name: str = "run") -> dict[str, Any]:
        return train(tiny_config(*overrides), tmp_path / name)

    return run


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Kill:
    """``with killed_at(57):`` runs whatever trains until step 57, which raises."""

    @contextmanager
    def kill(step: int) -> Iterator[None]:
        original = NoisyLabelClassifier.training_step

        def training_step(module: NoisyLabelClassifier, batch: Any, index: int) -> torch.Tensor:
            if module.trainer.global_step == step:
                raise RuntimeError("killed")
            return original(module, batch, index)

        with monkeypatch.context() as patch:
            patch.setattr(NoisyLabelClassifier, "training_step", training_step)
            with pytest.raises(RuntimeError, match="killed"):
                yield

    return kill


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small tensors gain nothing from threads, and parallel test workers would fight over them."""
    torch.set_num_threads(1)
