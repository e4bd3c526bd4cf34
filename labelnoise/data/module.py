"""What every data module offers, whatever its samples are."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor

from labelnoise.data.batch import Batch, Split
from labelnoise.noise import NoiseRecord
from labelnoise.noise.label_words import some

log = logging.getLogger(__name__)

# Of a device's free memory, what the data may take; the rest is for the network and its steps.
SHARE_FOR_DATA = 0.5


class NoisyLabelDataModule(pl.LightningDataModule):
    """A LightningDataModule of whole splits with given and true labels.

    Attributes:
        has_epochs: whether training is counted in epochs, not in steps.
        num_classes, class_names: K and the K names.
        input_shape: of one sample.

    Attributes (after ``setup``):
        train, val, test: the splits; ``val`` carries noisy labels and is None where there is none.
        noise_record: what was flipped in the labels that training may see, and whether their true
            ones are known.
        left_out: what was found and not read, or not read whole, counted by reason.
    """

    has_epochs: ClassVar[bool] = True
    num_classes: int
    class_names: Sequence[str]
    input_shape: tuple[int, ...]
    train: Split
    val: Split | None
    test: Split
    noise_record: NoiseRecord
    left_out: Mapping[str, int] = MappingProxyType({})

    def place_on(self, device: torch.device) -> None:
        """Move the splits to a GPU that has room, so that batches are made where they are used.

        The training split comes first, then validation and test. A split that takes more than half
        of the memory still free stays on the CPU, from where its batches are moved one by one.
        """
        for name in ("train", "val", "test"):
            split = getattr(self, name)
            if split is not None and split.nbytes <= SHARE_FOR_DATA * free_memory(device):
                setattr(self, name, split.to(device))

    def sources(self) -> dict[str, str | None]:
        """A fingerprint for each option that names files, None where they are not there.

        Two runs with the same options and fingerprints have the same data.
        """
        return {}

    def sample_names(self, source_index: Tensor) -> list[str]:
        """What to call samples in a list for people: their places, unless there are files."""
        return [str(i) for i in source_index.tolist()]

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move a batch; where it lies there already, without looking at every tensor again."""
        if batch.input.device == device:
            return batch
        input, label, clean, index = batch
        moved = None if clean is None else _moved(clean, device)
        return Batch(_moved(input, device), _moved(label, device), moved, _moved(index, device))


def warn_of_missing_classes(data: NoisyLabelDataModule) -> None:
    """Name in a line each the classes that a split has no sample of, by the labels it counts with.

    Training and validation samples have their given labels, test samples their true ones, where
    these are known.
    """
    val = None if data.val is None else data.val.label
    test = data.test.clean_label if data.test.truth_known else data.test.label
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
        # From pinned memory the copy runs while the GPU still computes.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def free_memory(device: torch.device) -> int:
    """Bytes free on a GPU; 0 for other devices, which have none of their own."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def steps_per_epoch(trainer: pl.Trainer) -> int:
    """Optimizer steps in one of the trainer's epochs: accumulated batches are one, also the last.

    To be asked for once training goes on, when the loader is there.
    """
    return max(1, math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))


def steps_per_pass(trainer: pl.Trainer) -> int:
    """Optimizer steps in a pass over the training data, or in an epoch where that is shorter.

    Full-batch gradient descent has many passes in one of the trainer's epochs.
    """
    loader: Any = trainer.train_dataloader
    batches = math.ceil(loader.batches_per_pass / trainer.accumulate_grad_batches)
    return min(batches, steps_per_epoch(trainer))


def data_of(trainer: pl.Trainer) -> NoisyLabelDataModule:
    """The data module that a trainer was given."""
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(datamodule, NoisyLabelDataModule), "fit(module, datamodule=...) is needed"
    return datamodule
