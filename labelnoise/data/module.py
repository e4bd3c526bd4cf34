"""What every data module offers, whatever its samples are."""

from __future__ import annotations

from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from torch import Tensor

from labelnoise.data.batch import Batch, Split
from labelnoise.noise import NoiseRecord


class NoisyLabelDataModule(pl.LightningDataModule):
    """A LightningDataModule of whole splits with given and true labels.

    Attributes:
        num_classes, class_names: K and the K names.
        input_shape: of one sample.

    Attributes (after ``setup``):
        train, val, test: the splits; ``val`` carries noisy labels and is None where there is none.
        noise_record: what was flipped in the labels that training may see.
    """

    num_classes: int
    class_names: Sequence[str]
    input_shape: tuple[int, ...]
    train: Split
    val: Split | None
    test: Split
    noise_record: NoiseRecord

    def sample_names(self, source_index: Tensor) -> list[str]:
        """What to call samples in a list for people: their places, unless there are files."""
        return [str(i) for i in source_index.tolist()]

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move a batch; where it lies there already, without looking at every tensor again."""
        if batch.input.device == device:
            return batch
        moved: Batch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved


def data_of(trainer: pl.Trainer) -> NoisyLabelDataModule:
    """The data module that a trainer was given."""
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    assert isinstance(datamodule, NoisyLabelDataModule), "fit(module, datamodule=...) is needed"
    return datamodule
