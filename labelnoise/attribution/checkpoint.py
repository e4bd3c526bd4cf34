"""Rebuild the trained network and the data of a run from its directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.run_directory import RunDirectory
from labelnoise.training.building import build_learner
from labelnoise.training.rebuilding import check_labels, rebuilding, stored_config

# The prefix of the network in the state_dict of a checkpoint.
_NETWORK = "model."


@dataclass(frozen=True)
class TrainedRun:
    """The data of a run, and its classifier with the weights of a checkpoint.

    Attributes:
        directory: the run directory.
        config: the configuration of the run.
        datamodule: after ``setup``, with the same label noise.
        classifier: on the CPU, in evaluation mode.
        checkpoint: the file of the weights.
    """

    directory: RunDirectory
    config: DictConfig
    datamodule: NoisyLabelDataModule
    classifier: NoisyLabelClassifier
    checkpoint: Path


def load_trained(
    path: str | Path, checkpoint: str | Path = "selected", allow_targets: Sequence[str] = ()
) -> TrainedRun:
    """Rebuild the data and the network of the run in ``path``, and load a checkpoint.

    The global random streams are restored.

    Args:
        path: the run directory.
        checkpoint: ``"selected"`` for the kept network, ``"last"`` for the last checkpoint for
            resuming, or a file.
        allow_targets: your own modules that the run may use. The value in its config.yaml is
            ignored, because the run can come from another person.

    Raises:
        InputError: there is no run, its data or network cannot be rebuilt, or the checkpoint is
            missing, damaged, or of another network.
    """
    directory = RunDirectory(Path(path))
    config = stored_config(directory, allow_targets)
    file = _find(directory, checkpoint)
    if file == directory.selected_checkpoint:
        directory.manifest.check(file)
    weights = read_network(file)
    with rebuilding(directory, config):
        datamodule, classifier = build_learner(config)
    check_labels(directory, datamodule.noise_record)
    load_network(classifier.model, weights, file)
    classifier.eval()
    return TrainedRun(directory, config, datamodule, classifier, file)


def read_network(file: Path) -> dict[str, Tensor]:
    """The weights of the network in a checkpoint, by their names in the network.

    Raises:
        InputError: the file is damaged, has more than tensors and plain values (a pickle can
            contain code), or is not a checkpoint of a classifier.
    """
    try:
        contents: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail in any way
        raise InputError(
            f"{file} cannot be read: it is damaged, or contains more than tensors and plain "
            "values; give a checkpoint of the run"
        ) from error
    state = contents.get("state_dict") if isinstance(contents, Mapping) else None
    weights = {
        name.removeprefix(_NETWORK): value
        for name, value in (state.items() if isinstance(state, Mapping) else ())
        if isinstance(name, str) and name.startswith(_NETWORK) and isinstance(value, Tensor)
    }
    if not weights:
        raise InputError(f"{file} is not a checkpoint of a run: it has no weights of a network")
    return weights


def load_network(model: nn.Module, weights: Mapping[str, Tensor], file: Path) -> None:
    """Load ``weights``, read from ``file``, into ``model``; the names must match exactly.

    Raises:
        InputError: the weights are of another network; names the first difference.
    """
    expected = model.state_dict()
    problems = [f"it has no {name}" for name in expected if name not in weights]
    problems += [f"its {name} is unknown" for name in weights if name not in expected]
    problems += [
        f"its {name} is {_size(weights[name])} in place of {_size(value)}"
        for name, value in expected.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if problems:
        others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{file} is a checkpoint of another network: {problems[0]}{others}")
    model.load_state_dict(weights)


def _find(directory: RunDirectory, checkpoint: str | Path) -> Path:
    named = {"selected": directory.selected_checkpoint, "last": directory.last_checkpoint}
    file = named.get(str(checkpoint), Path(checkpoint))
    if file.is_file():
        return file
    there = [name for name, path in named.items() if path.is_file()]
    raise InputError(
        f"checkpoint {file} does not exist; {directory.path} has: {', '.join(there) or 'none yet'}"
    )


def _size(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a single number"
