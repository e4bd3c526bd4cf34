"""Small runs that every test of the whole can afford.

Fixtures import torch and Lightning where they use them. The controller of parallel tests reads this
file too and needs neither; they take ten seconds.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import hydra
import numpy as np
import pytest
from hypothesis import settings
from omegaconf import DictConfig
from omegaconf.grammar_parser import parse
from PIL import Image

from labelnoise.config.composition import compose
from tests.cifar import image_config, write_cifar10
from tests.remembered import Remembered

if TYPE_CHECKING:
    from torch import Tensor

    from labelnoise.data.batch import Batch
    from labelnoise.learner.classifier import NoisyLabelClassifier

# The same examples in every run, so that only a change makes a test fail. To search for new ones:
# pytest --hypothesis-profile=default
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


gc.set_threshold(20_000)  # the default looks for garbage 200 times a second


def pytest_collection_finish() -> None:
    """Garbage collection need not look again and again at what was imported."""
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


# d >= n + 1, so that gamma and rho exist; half a second a run without figures.
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
    "figures=false",
    "allow_targets=[tests]",
)

# Half a second a run without figures.
TINY_IMAGES = (
    "data=image_folder",
    "model=two_layer_cnn",
    "data.image_size=8",
    "noise=symmetric",
    "noise_rate=0.2",
    "model.filters=4",
    "optimizer=sgd",
    "optimizer.lr=0.1",
    "batch_size=10",
    "max_epochs=4",
    "checkpoint_every_n_steps=5",
    "threads=1",
    "trainer.enable_progress_bar=false",
    "logger=none",
    "figures=false",
    "allow_targets=[tests]",
)


T = TypeVar("T")


def present(value: T | None) -> T:
    """What a test expects to be there, such as a validation split."""
    assert value is not None
    return value


def latest(*words: str) -> list[str]:
    """Words of a command line with each key once: the last one counts."""
    return list({word.partition("=")[0].lstrip("+"): word for word in words}.values())


def numpy_state() -> np.ndarray:
    """The state of numpy's global stream."""
    state = np.random.get_state()
    assert isinstance(state, tuple)
    return state[1].copy()


Run = Callable[..., dict[str, Any]]
Finished = Callable[..., Path]


def but_slow(*cases: Any, fast: int = 1) -> list[Any]:
    """Cases of a parameter: the first few among the fast tests, the others among the slow ones."""
    return [
        *cases[:fast],
        *(pytest.param(*(c if isinstance(c, tuple) else (c,)), marks=pytest.mark.slow)
          for c in cases[fast:]),
    ]  # fmt: skip


Kill = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def tiny_config() -> Callable[..., DictConfig]:
    return lambda *overrides: compose([*TINY, *overrides])


@pytest.fixture
def run_tiny(tmp_path: Path, tiny_config: Callable[..., DictConfig]) -> Run:
    from labelnoise.training.train import train

    def run(*overrides: str, name: str = "run") -> dict[str, Any]:
        return train(tiny_config(*overrides), tmp_path / name)

    return run


@pytest.fixture(scope="session")
def image_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 2 x 30 training and 2 x 10 test images of 8 x 8 pixels; class b is brighter."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 10)):
        for name, mean in (("a", 100), ("b", 150)):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(mean, 30, (8, 8, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{i:02}.png")
    return root


@pytest.fixture
def run_images(tmp_path: Path, image_root: Path) -> Run:
    """Like ``run_tiny``, on images: 54 to train on, 6 batches an epoch."""

    from labelnoise.training.train import train

    def run(*overrides: str, name: str = "run") -> dict[str, Any]:
        cfg = compose([*TINY_IMAGES, f"data.root={image_root}", *overrides])
        return train(cfg, tmp_path / name)

    return run


@pytest.fixture(scope="session")
def finished_tiny(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The directory of a run like those of ``run_tiny``, trained once for all who only read it."""
    return finished(TINY, tmp_path_factory)


@pytest.fixture(scope="session")
def finished_images(tmp_path_factory: pytest.TempPathFactory, image_root: Path) -> Finished:
    """As ``finished_tiny``, on images."""
    return finished((*TINY_IMAGES, f"data.root={image_root}"), tmp_path_factory)


def finished(base: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    from labelnoise.training.train import train

    @cache
    def run(*words: str) -> Path:
        directory = tmp_path_factory.mktemp("finished") / "run"
        train(compose([*base, *words]), directory)
        return directory

    return run


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Kill:
    """``with killed_at(57):`` runs whatever trains until step 57, which raises."""

    from labelnoise.learner.classifier import NoisyLabelClassifier

    @contextmanager
    def kill(step: int) -> Iterator[None]:
        original = NoisyLabelClassifier.training_step

        def training_step(
            module: NoisyLabelClassifier, batch: Batch, index: int
        ) -> dict[str, Tensor]:
            if module.trainer.global_step == step:
                raise RuntimeError("killed")
            return original(module, batch, index)

        with monkeypatch.context() as patch:
            patch.setattr(NoisyLabelClassifier, "training_step", training_step)
            with pytest.raises(RuntimeError, match="killed"):
                yield

    return kill


@pytest.fixture(autouse=True, scope="session")
def remembered_compositions() -> Iterator[None]:
    """Hydra reads each file once, composes each choice of files once, and then sets the values.

    A composition takes longer than half of the runs here train. OmegaConf parses each
    interpolation once, not whenever it resolves one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hydra, "compose", Remembered(hydra.compose))
        for module in ("base", "_utils"):
            patch.setattr(f"omegaconf.{module}.parse", cache(parse))
        yield


@pytest.fixture(autouse=True, scope="session")
def remembered_plugins() -> Iterator[None]:
    """Lightning looks for callbacks in all installed packages once, not with every trainer."""
    from lightning_fabric.utilities import registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "entry_points", cache(registry.entry_points))
        yield


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small tensors gain nothing from threads, and parallel test workers would fight over them."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cifar_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cifar")
    write_cifar10(root)
    return root


@pytest.fixture(scope="session")
def image_run(cifar_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run on 45 images of two classes, 10 of them with a wrong label."""
    from labelnoise.training.train import train

    path = tmp_path_factory.mktemp("runs") / "images"
    train(image_config(cifar_root), path)
    return path
