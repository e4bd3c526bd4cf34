"""Rebuild the parts of a run from its directory, which can come from another person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from labelnoise.config.composition import check_stored
from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.errors import InputError, reason_of
from labelnoise.noise import NoiseRecord
from labelnoise.run_directory import RunDirectory
from labelnoise.training.building import data_to_read
from labelnoise.training.isolation import isolated


def stored_config(directory: RunDirectory, allow_targets: Sequence[str] = ()) -> DictConfig:
    """The configuration of a run, checked.

    Args:
        directory: the run directory.
        allow_targets: your own modules that the run may use. The value in its config.yaml is
            ignored, because the run can come from another person.

    Raises:
        InputError: there is no run, or its configuration cannot be used.
    """
    config = directory.read_config()
    config.allow_targets = list(allow_targets)
    try:
        check_stored(config)
    except (InputError, OmegaConfBaseException) as error:
        raise _cannot(directory, error) from error
    return config


@contextmanager
def rebuilding(directory: RunDirectory, config: DictConfig) -> Iterator[None]:
    """Restore the global random streams at the end, and turn errors into an InputError."""
    with isolated(config.seed, config.threads):
        try:
            yield
        except InputError:
            raise
        except (TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise _cannot(directory, error) from error


def rebuild_data(directory: RunDirectory, config: DictConfig) -> NoisyLabelDataModule:
    """The data of a run with the same given labels; its files must not have changed.

    Raises:
        InputError: the data cannot be read, or differ from the data of the run.
    """
    with rebuilding(directory, config):
        data = data_to_read(config)
        if sources := data.sources():
            directory.check_data(sources)
        data.prepare_data()
        data.setup("fit")
    check_labels(directory, data.noise_record)
    return data


def check_labels(directory: RunDirectory, rebuilt: NoiseRecord) -> None:
    """Compare the labels of the rebuilt data with the labels that the run has saved.

    Raises:
        InputError: they differ.
    """
    record = NoiseRecord.load(directory.noise)
    # A record of an earlier version can have true labels that are unknown now.
    labels = ((record.label, rebuilt.label), (record.clean_label, rebuilt.clean_label))
    if not all(a is None or b is None or torch.equal(a, b) for a, b in labels):
        raise InputError(
            f"the labels of the data differ from the labels in {directory.noise}: restore the "
            "files of the data"
        )


def _cannot(directory: RunDirectory, error: Exception) -> InputError:
    return InputError(
        f"{directory.path} cannot be rebuilt from its config.yaml: {reason_of(error)}"
    )
