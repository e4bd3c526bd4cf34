"""A resumed run equals the uninterrupted run, at every interruption and with damaged files."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import labelnoise.training.train as training
from labelnoise.config.composition import compose
from labelnoise.errors import InputError
from labelnoise.files.writing import part_of
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.training.train import train
from tests.conftest import TINY_IMAGES, Kill, Run, but_slow

# 54 training images: the number of batches an epoch that a batch size makes.
BATCHES = {"null": 1, "54": 1, "27": 2, "18": 3, "14": 4}
BARE = ("monitor=none", "max_epochs=3", "model.sigma_0=0.1")


@contextmanager
def at_call(number: int, act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` before the ``number``-th training step from here on, counted from 1."""
    original, calls = NoisyLabelClassifier.training_step, 0

    def training_step(module: NoisyLabelClassifier, batch: Any, index: int) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            act()
        return original(module, batch, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NoisyLabelClassifier, "training_step", training_step)
        yield


def die() -> None:
    raise RuntimeError("killed")


@pytest.fixture(scope="module")
def fit(image_root: Path) -> Callable[..., dict[str, Any]]:
    """Train in a directory as ``train`` does, and return the files of the run."""

    def run(directory: Path, *words: str) -> dict[str, Any]:
        cfg = compose([*TINY_IMAGES, f"data.root={image_root}", *BARE, "figures=true", *words])
        summary = train(cfg, directory)
        checkpoint = torch.load(directory / "checkpoints" / "selected.ckpt", weights_only=True)
        weights = {k: v.numpy().tobytes() for k, v in checkpoint["state_dict"].items()}
        kept = {key: summary[key] for key in ("step", "status", "final")}
        paths = [directory / "metrics.csv", *sorted(directory.glob("dynamics/*.np[yz]"))]
        return {**kept, "weights": weights, **{path.name: path.read_bytes() for path in paths}}

    return run


@pytest.fixture(scope="module")
def fit_whole(
    fit: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, Any]]:
    """The files of a run that nothing stops; trained once for each set of options."""

    @cache
    def run(*words: str) -> dict[str, Any]:
        return fit(tmp_path_factory.mktemp("whole") / "run", *words)

    return run


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of the time of a run this small."""
    monkeypatch.setattr(training, "write_figures", lambda *_: {})


FAST = [
    ("null", 1, "1", "1.0"),
    ("54", 1, "null", "1.0"),
]
WHOLE_EPOCHS = [
    (size, accumulate, every, "1.0")
    for size in BATCHES
    for accumulate in (1, 2)
    for every in ("null", "1")
]
LIMITED = [("14", 1, "null", "2"), ("18", 1, "1", "2"), ("18", 2, "null", "2"), ("14", 2, "1", "2")]
GRID = [
    *FAST,
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in [*WHOLE_EPOCHS, *LIMITED]
        if case not in FAST
    ),
]


@pytest.mark.parametrize(("size", "accumulate", "every", "limit"), GRID)
def test_cut_anywhere_a_run_comes_to_the_same_end(
    fit: Callable[..., dict[str, Any]], tmp_path: Path,
    size: str, accumulate: int, every: str, limit: str,
) -> None:  # fmt: skip
    words = (
        f"batch_size={size}",
        f"trainer.accumulate_grad_batches={accumulate}",
        f"checkpoint_every_n_steps={every}",
        f"+trainer.limit_train_batches={limit}",
    )
    whole = fit(tmp_path / "whole", *words)
    total = 3 * (BATCHES[size] if limit == "1.0" else min(BATCHES[size], 2))
    for number in range(1, total + 1):
        cut = tmp_path / str(number)
        with pytest.raises(RuntimeError, match="killed"), at_call(number, die):
            fit(cut, *words)
        assert fit(cut, *words) == whole, f"killed in batch {number} of {total}"


@pytest.fixture
def heard() -> Iterator[None]:
    """Whoever starts the tests in the background has them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_run_at_the_next_step(
    fit: Callable[..., dict[str, Any]], fit_whole: Callable[..., dict[str, Any]], tmp_path: Path,
    number: int, accumulate: int,
) -> None:  # fmt: skip
    words = ("batch_size=14", f"trainer.accumulate_grad_batches={accumulate}")
    whole = fit_whole(*words)
    with (
        pytest.raises(SystemExit) as left,
        at_call(7, lambda: os.kill(os.getpid(), number)),
    ):
        fit(tmp_path / "cut", *words)
    assert left.value.code == 128 + number
    checkpoint = torch.load(tmp_path / "cut/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == (7 if accumulate == 1 else 4)
    assert fit(tmp_path / "cut", *words) == whole


def test_a_signal_while_a_run_reports_lets_it_finish(
    fit: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(tmp_path / "whole")
    original = training.write_figures

    def interrupted(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*args)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.setattr(training, "write_figures", interrupted)
        fit(tmp_path / "cut")
    assert left.value.code == 143
    assert (tmp_path / "cut" / "summary.json").exists()
    assert fit(tmp_path / "cut") == whole


@pytest.mark.parametrize(
    "step", but_slow("summarize", "write_summary", "summarize_suspects", "write_figures", fast=2)
)
def test_a_run_cut_while_it_reports_comes_to_the_same_end(
    fit: Callable[..., dict[str, Any]], fit_whole: Callable[..., dict[str, Any]], tmp_path: Path,
    step: str,
) -> None:  # fmt: skip
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    words = ("monitor=[memorization,dynamics]",)
    whole = fit_whole(*words)
    assert {"loss.npy", "step.npy", "samples.npz"} < whole.keys()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(training, step, fail)
        fit(tmp_path / "cut", *words)
    assert fit(tmp_path / "cut", *words) == whole


def test_parts_that_a_killed_process_left_are_removed(cut_run: Path, image_root: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    folders = [cut_run, *(cut_run / name for name in ("checkpoints", "dynamics", "figures"))]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        part = part_of(folder / "x.png").name.replace(f"-{os.getpid()}.", f"-{dead}.")
        (folder / part).touch()
    train(compose([*TINY_IMAGES, f"data.root={image_root}"]), cut_run)
    assert not list(cut_run.rglob(".*.part"))


def flip(path: Path, place: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    at = int(place * len(content))
    content[at] ^= 0xFF
    content[at + 1] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.fixture(scope="module")
def whole_and_cut(image_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that ended and of the same run killed at step 17 of 24."""
    folder = tmp_path_factory.mktemp("runs")
    cfg = compose([*TINY_IMAGES, f"data.root={image_root}"])
    train(cfg, folder / "whole")
    with pytest.raises(RuntimeError, match="killed"), at_call(18, die):
        train(cfg, folder / "run")
    return folder


@pytest.fixture
def cut_run(whole_and_cut: Path, tmp_path: Path) -> Path:
    """Killed at step 17 of 24, with checkpoints of steps 10 and 15; beside it the whole run."""
    shutil.copytree(whole_and_cut, tmp_path, dirs_exist_ok=True)
    return tmp_path / "run"


def test_the_older_checkpoint_takes_over_from_a_damaged_one(
    cut_run: Path, run_images: Run, tmp_path: Path
) -> None:
    flip(cut_run / "checkpoints" / "last.ckpt")
    run_images()
    assert (
        "last.ckpt is damaged: continuing from previous.ckpt, step 10"
        in (cut_run / "run.log").read_text()
    )
    assert_same(cut_run, tmp_path / "whole")


def test_without_an_intact_checkpoint_a_run_is_refused_or_begins_again(
    cut_run: Path, run_images: Run, tmp_path: Path
) -> None:
    files = [cut_run / "checkpoints" / f"{name}.ckpt" for name in ("last", "previous")]
    for file in files:
        flip(file)
    with pytest.raises(InputError, match=r"last.ckpt is damaged.*delete last.ckpt and previous"):
        run_images()
    for file in files:
        file.unlink()
    run_images()
    assert "training from the start" in (cut_run / "run.log").read_text()
    assert_same(cut_run, tmp_path / "whole")


def test_another_runs_checkpoint_is_refused(
    cut_run: Path, run_images: Run, tmp_path: Path, killed_at: Kill
) -> None:
    with killed_at(17):
        run_images("model.filters=5", name="other")
    for name in ("last", "previous"):
        shutil.copy(tmp_path / f"other/checkpoints/{name}.ckpt", cut_run / "checkpoints")
    with pytest.raises(InputError, match=r"last.ckpt is damaged or belongs to another run"):
        run_images()


@pytest.mark.parametrize(
    "name", ["manifest.json", ".hydra/config.yaml", "noise.npz", "dynamics/loss.npy"]
)
@pytest.mark.parametrize("damage", but_slow("flip", "cut"))
def test_damage_that_a_resumed_run_would_build_on_is_named(
    cut_run: Path, run_images: Run, name: str, damage: str
) -> None:
    file = cut_run / name
    if damage == "flip":
        flip(file, 0.3)
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(InputError, match=re.escape(Path(name).name)):
        run_images()
    assert not (cut_run / "summary.json").exists()


@pytest.mark.parametrize(
    "name",
    [".hydra/config.yaml", ".hydra/overrides.yaml", "dynamics/margin.npy", "dynamics/step.npy"],
)
def test_a_file_that_a_resumed_run_lacks_is_named(
    cut_run: Path, run_images: Run, name: str
) -> None:
    (cut_run / name).unlink()
    with pytest.raises(InputError, match=re.escape(Path(name).name)):
        run_images()


@pytest.mark.parametrize(
    "name",
    but_slow(
        "summary.json",
        "checkpoints/selected.ckpt",
        "metrics.csv",
        "noise.npz",
        "dynamics/loss.npy",
        fast=2,
    ),
)
@pytest.mark.slow
def test_a_finished_run_that_was_damaged_is_not_passed_off_as_whole(
    run_images: Run, tmp_path: Path, name: str
) -> None:
    whole = run_images()
    flip(tmp_path / "run" / name)
    with pytest.raises(InputError, match=f"{name} is damaged"):
        run_images()
    (tmp_path / "run" / name).unlink()
    if name != "summary.json":  # without one the run is not finished
        with pytest.raises(InputError, match=f"{name} is missing"):
            run_images()
    again = run_images("rerun=true")
    assert again["final"] == whole["final"]
    replaced = tmp_path / "run" / ".replaced" / "1"
    assert (replaced / "run.log").exists() and (replaced / "noise.npz").exists() == (
        name != "noise.npz"
    )


def test_two_versions_are_not_mixed(
    run_images: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_images()
    monkeypatch.setattr("labelnoise.files.manifest.versions", lambda: {"labelnoise": "9.9"})
    monkeypatch.setattr("labelnoise.run_directory.versions", lambda: {"labelnoise": "9.9"})
    with pytest.raises(InputError, match=r"computed with labelnoise 0.1.0 instead of 9.9.*rerun"):
        run_images()
    (tmp_path / "run" / "manifest.json").unlink()
    with pytest.raises(InputError, match="an earlier version of labelnoise wrote the run"):
        run_images()


def test_data_that_changed_are_another_run(
    image_root: Path, tmp_path: Path, killed_at: Kill
) -> None:
    root = tmp_path / "images"
    shutil.copytree(image_root, root)
    labels = tmp_path / "labels.csv"
    files = sorted((root / "train").glob("*/*.png"))
    rows = [f"{file.parent.name}/{file.name},{file.parent.name}" for file in files]
    labels.write_text("\n".join(["file,label", *rows]))

    def run(name: str) -> dict[str, Any]:
        words = (*TINY_IMAGES, f"data.root={root}", f"data.labels={labels}", "noise=none")
        return train(compose(words), tmp_path / name)

    run("finished")
    with killed_at(17):
        run("cut")
    rows[0] = rows[0].replace(",a", ",b")
    labels.write_text("\n".join(["file,label", *rows]))
    for name in ("finished", "cut"):
        with pytest.raises(InputError, match=r"files of data.labels have changed since.*rerun"):
            run(name)
    labels.write_text("\n".join(["file,label", *rows]).replace(",b", ",a", 1))
    run("finished")
    flip(files[0])
    with pytest.raises(InputError, match=r"files of data.root have changed since"):
        run("finished")
    shutil.rmtree(root)
    run("finished")  # a finished run can be read without its data
    with pytest.raises(InputError, match="no folder"):
        run("cut")


@pytest.mark.slow
def test_tensorboard_shows_every_point_once(run_tiny: Run, tmp_path: Path, killed_at: Kill) -> None:
    for step in (15, 57):  # before the first checkpoint, and between two
        with killed_at(step):
            run_tiny("logger=tensorboard")
        time.sleep(1.1)  # files of one second and one process are read in another order
    run_tiny("logger=tensorboard")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    tags = events.Tags()["scalars"]
    assert "train/acc" in tags
    for tag in tags:
        steps = [event.step for event in events.Scalars(tag)]
        assert len(steps) == len(set(steps)), tag


def assert_same(a: Path, b: Path) -> None:
    for name in ("metrics.csv", "noise.npz", "dynamics/loss.npy", "dynamics/step.npy"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    loaded = [torch.load(run / "checkpoints/selected.ckpt", weights_only=True) for run in (a, b)]
    for name, weight in loaded[0]["state_dict"].items():
        assert np.array_equal(weight, loaded[1]["state_dict"][name])
