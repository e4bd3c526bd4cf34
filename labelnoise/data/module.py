"""The base class of data modules."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from jaxtyping import UInt8
from torch import Tensor

from labelnoise.data.batch import Batch, Split
from labelnoise.files.label_words import some
from labelnoise.noise import NoiseRecord

log = logging.getLogger(__name__)

# Largest share of the free memory of a GPU for a split; the rest is for the network.
SHARE_FOR_DATA = 0.5


class NoisyLabelDataModule(pl.LightningDataModule):
    """A LightningDataModule of whole splits with given and true labels.

    Attributes:
        has_epochs: whether training is counted in epochs; if not, in steps.
        takes_corrections: whether ``data.corrections`` can change the given labels.
        num_classes, class_names: K and the K names.
        input_shape: the shape of a sample.

    Attributes (after ``setup``):
        train, val, test: the splits; ``val`` has noisy labels, or is None. ``test`` is None if
            there are no test samples; the metrics of the test set do not exist then.
        noise_record: the record of the training and validation labels.
        left_out: number of files that are not read or read only in part, by reason.
        corrected: the files of ``data.corrections``, and the numbers of changed, dropped and kept
            samples; None without corrections.
        unreadable: the files that are left out because they cannot be read, with the reasons.
    """

    has_epochs: ClassVar[bool] = True
    takes_corrections: ClassVar[bool] = False
    num_classes: int
    class_names: Sequence[str]
    input_shape: tuple[int, ...]
    train: Split
    val: Split | None
    test: Split | None
    noise_record: NoiseRecord
    left_out: Mapping[str, int] = MappingProxyType({})
    corrected: Mapping[str, Any] | None = None
    unreadable: Mapping[str, str] = MappingProxyType({})

    def place_on(self, device: torch.device) -> None:
        """Move the splits to a GPU if its memory allows.

        The order is training, validation, test. A split that needs more than half of the free
        memory stays on the CPU, and its batches are moved one by one.
        """
        for name in ("train", "val", "test"):
            split = getattr(self, name)
            if split is not None and split.nbytes <= SHARE_FOR_DATA * free_memory(device):
                setattr(self, name, split.to(device))

    def sources(self) -> dict[str, str | None]:
        """A fingerprint for each option that names files; None if the files do not exist.

        Runs with the same options and fingerprints have the same data.
        """
        return {}

    def sample_names(self, source_index: Tensor) -> list[str]:
        """The names of samples in lists: file names, or else their positions."""
        return [str(i) for i in source_index.tolist()]

    def picture(self, source_index: int, side: int) -> UInt8[Tensor, "c h w"] | None:
        """A sample of the training files for people to look at, at least ``side`` pixels high.

        None if the data have no larger picture than the input of the network.
        """
        return None

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move a batch to ``device``, unless it is already there."""
        if batch.input.device == device:
            return batch
        return Batch._make(None if part is None else _moved(part, device) for part in batch)


def warn_of_missing_classes(data: NoisyLabelDataModule) -> None:
    """Log the classes without samples in each split.

    For training and validation by the given labels, for test by the true labels if known.
    """
    val = None if data.val is None else data.val.label
    test = None if data.test is None else data.test.reference_label
    labels = {"training": data.train.label, "validation": val, "test": test}
    for part, label in labels.items():
        if label is None:
            continue
        present = set(label.unique().tolist())
        missing = [str(name) for k, name in enumerate(data.class_names) if k not in present]
        if missing:
            count = f"{len(missing)} of {len(data.class_names)}"
            log.warning("classes without a %s sample: %s (%s)", part, some(missing), count)


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        # From pinned memory the copy runs in parallel to the computation on the GPU.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def free_memory(device: torch.device) -> int:
    """Free bytes of a GPU; 0 for other devices."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def steps_per_epoch(trainer: pl.Trainer) -> int:
    """Number of optimizer steps in an epoch of the trainer; call it only during training.

    A group of accumulated batches is one step, also if it is incomplete at the end.
    """
    return max(1, math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))


def steps_per_pass(trainer: pl.Trainer) -> int:
    """Number of optimizer steps in a pass over the training data, or in an epoch if it is shorter.

    With full-batch gradient descent an epoch of the trainer has many passes.
    """
    loader: Any = trainer.train_dataloader
    batches = math.ceil(loader.batches_per_pass / trainer.accumulate_grad_batches)
    return min(batches, steps_per_epoch(trainer))


def data_of(trainer: pl.Trainer) -> NoisyLabelDataModule:
    """The data module of a trainer."""
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(datamodule, NoisyLabelDataModule), "fit(module, datamodule=...) is needed"
    return datamodule
