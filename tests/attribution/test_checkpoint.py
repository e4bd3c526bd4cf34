"""A network is rebuilt from the directory of a run, or an error of one line has the reason."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from labelnoise.attribution.checkpoint import load_trained
from labelnoise.errors import InputError
from labelnoise.noise import NoiseRecord
from labelnoise.training.train import train
from tests.cifar import image_config
from tests.conftest import Kill, Run, numpy_state, present


class Touch:
    """A pickle that would create a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def copied(image_run: Path, tmp_path: Path) -> Path:
    """A run without checksums, as from an earlier version, so that other checks apply."""
    folder = Path(shutil.copytree(image_run, tmp_path / "copied"))
    (folder / "manifest.json").unlink()
    return folder


def refusal(*arguments: Any) -> str:
    with pytest.raises(InputError) as error:
        load_trained(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("checkpoint", ["selected", "last"])
def test_what_is_loaded_is_what_was_saved(image_run: Path, checkpoint: str) -> None:
    states = torch.get_rng_state(), numpy_state()
    run = load_trained(image_run, checkpoint)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (numpy_state() == states[1]).all()
    assert run.checkpoint == image_run / "checkpoints" / f"{checkpoint}.ckpt"
    saved = torch.load(run.checkpoint, weights_only=True)["state_dict"]["model.weight"]
    assert torch.equal(run.classifier.model.get_parameter("weight"), saved)
    record = NoiseRecord.load(image_run / "noise.npz")
    assert run.datamodule.noise_record.fingerprint == record.fingerprint
    assert not run.classifier.training


def test_the_selected_network_has_the_summarys_numbers(image_run: Path) -> None:
    run = load_trained(image_run)
    final = json.loads((image_run / "summary.json").read_text())["final"]
    measured = run.classifier.measure("train", run.datamodule.train)
    for name in ("loss", "acc", "acc_noisy"):
        assert measured[f"train/{name}"] == pytest.approx(final[f"train/{name}"], abs=1e-6)


def test_a_file_may_be_named(copied: Path, image_run: Path) -> None:
    file = image_run / "checkpoints" / "last.ckpt"
    assert load_trained(copied, file).checkpoint == file
    assert load_trained(str(copied), str(file)).checkpoint == file


def test_a_run_that_was_interrupted_has_its_last_network(
    run_tiny: Run, tmp_path: Path, killed_at: Kill
) -> None:
    with killed_at(45):
        run_tiny()
    assert load_trained(tmp_path / "run", "last").checkpoint.name == "last.ckpt"
    assert refusal(tmp_path / "run").endswith("selected.ckpt does not exist; "
                                              f"{tmp_path / 'run'} has: last")  # fmt: skip


def test_no_run_lies_there(tmp_path: Path) -> None:
    line = f"{tmp_path} holds no run: it has no .hydra/config.yaml; give the directory of a run"
    assert refusal(tmp_path) == line


@pytest.mark.parametrize("text", ["data: [", "- a list", "name: ${nothing.", "\0"])
def test_a_damaged_configuration_is_named(copied: Path, text: str) -> None:
    (copied / ".hydra" / "config.yaml").write_text(text)
    assert "config.yaml is damaged: it cannot be read" in refusal(copied)


def test_a_configuration_that_builds_nothing(copied: Path) -> None:
    (copied / ".hydra" / "config.yaml").write_text("seed: 0\nthreads: 1\n")
    assert refusal(copied).startswith(f"{copied} cannot be rebuilt from its config.yaml: ")


def test_a_missing_file_is_named(image_run: Path) -> None:
    message = refusal(image_run, "other.ckpt")
    assert message == f"checkpoint other.ckpt does not exist; {image_run} has: selected, last"


def test_a_truncated_checkpoint_is_refused(copied: Path) -> None:
    file = copied / "checkpoints" / "selected.ckpt"
    file.write_bytes(file.read_bytes()[:500])
    assert refusal(copied).startswith(f"{file} cannot be read: it is damaged")


@pytest.mark.parametrize("save", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_a_checkpoint_with_code_is_not_run(copied: Path, tmp_path: Path, save: Any) -> None:
    trace = tmp_path / "trace"
    save({"state_dict": {"model.weight": torch.zeros(1)}, "x": Touch(trace)}, tmp_path / "x.ckpt")
    assert "contains more than tensors and plain values" in refusal(copied, tmp_path / "x.ckpt")
    assert not trace.exists()


@pytest.mark.parametrize("contents", [{}, [1], {"state_dict": {"weight": torch.zeros(1)}}])
def test_tensors_that_are_no_checkpoint(image_run: Path, tmp_path: Path, contents: Any) -> None:
    torch.save(contents, tmp_path / "x.ckpt")
    assert "is not a checkpoint of a run" in refusal(image_run, tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {"model.weight": w[:, :1]}, "its weight is 2x1x3x32x32 in place of 2x2x3x32x32"),
        (lambda w: {"model.w": w}, r"it has no weight \(and 1 more\)"),
        (lambda w: {"model.weight": w, "model.bias": w[0]}, "its bias is unknown"),
    ],
)
def test_another_networks_checkpoint_is_refused(
    image_run: Path, tmp_path: Path, change: Any, message: str
) -> None:
    weight = torch.zeros(2, 2, 3, 32, 32)
    torch.save({"state_dict": change(weight)}, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match=f"x.ckpt is a checkpoint of another network: {message}$"):
        load_trained(image_run, tmp_path / "x.ckpt")


def test_labels_that_changed_since_are_noticed(copied: Path) -> None:
    record = NoiseRecord.load(copied / "noise.npz")
    clean = present(record.clean_label)
    NoiseRecord("other", 0, None, None, clean, clean, 2).save(copied / "noise.npz")
    assert refusal(copied).startswith("the labels of the data differ from the labels in")


def test_missing_data_are_named(copied: Path, tmp_path: Path) -> None:
    config = copied / ".hydra" / "config.yaml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text(
        "".join(f"  root: {tmp_path}\n" if x.startswith("  root:") else x for x in lines)
    )
    assert str(tmp_path) in refusal(copied)


def test_training_after_loading_is_the_same(
    image_run: Path, cifar_root: Path, tmp_path: Path
) -> None:
    load_trained(image_run)
    train(image_config(cifar_root), tmp_path / "again")
    assert (tmp_path / "again" / "metrics.csv").read_bytes() == (
        image_run / "metrics.csv"
    ).read_bytes()
