"""The kinds of label noise that are given in a file: people's labels, and an earlier run's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.noise.checks import check_labels
from labelnoise.noise.kinds import CleanSplit, LabelNoise
from labelnoise.noise.label_files import read_labels
from labelnoise.noise.matrices import transition_matrix
from labelnoise.noise.record import NoiseRecord


@dataclass(frozen=True)
class HumanNoise(LabelNoise):
    """The training labels that people gave, read from a file.

    People labelled the training samples only. The other parts are drawn class-conditionally with
    the realised matrix of the file's labels, whichever part is drawn first; a file without true
    labels has no such matrix, so there the training split has to be drawn before.

    Attributes:
        path: .npz, .csv or .pt, see `read_labels`.
        column: which labels of the file; None if it holds one column beside the true labels.
        seed: of the draws for the other parts.

    Source:
        J. Wei et al., "Learning with Noisy Labels Revisited", ICLR 2022: CIFAR-10N and its files.
    """

    path: str | Path
    column: str | None = None
    seed: int = 0
    kind: ClassVar[str] = "human"
    _train_matrix: dict[int, Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        if split.part != "train":
            return self._from_matrix(split, None, self._matrix(split.num_classes), generator)
        label = self._labels(split)
        record = self._record(split, label, None, None)
        self._train_matrix[split.num_classes] = record.transition_matrix
        return record

    def _labels(self, split: CleanSplit) -> Integer[Tensor, " n"]:
        """The file's labels of the split's samples."""
        given = read_labels(self.path, self.column)
        index = split.source_index
        index = torch.arange(len(given.label)) if index is None else index.to("cpu", torch.int64)
        if len(index) != len(split.clean_label):
            raise InputError(
                f"label file '{self.path}' has {len(given.label)} labels for "
                f"{len(split.clean_label)} samples; write the file of these data"
            )
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(given.label):
            raise InputError(
                f"label file '{self.path}' has {len(given.label)} labels and the data ask for "
                f"places {int(index.min())} to {int(index.max())}; write the file of these data"
            )
        if given.clean_label is not None:
            _check_order(self.path, given.clean_label[index], split.clean_label)
        name = f"'{given.column}' of label file '{self.path}'"
        return check_labels(given.label[index], split.num_classes, name)

    def _matrix(self, num_classes: int) -> Float[Tensor, "K K"]:
        """The realised matrix of the whole file; of the split drawn, if only that had clean labels.

        Of a file with more classes than the data, the samples count that stay within the data's.
        """
        given = read_labels(self.path, self.column)
        if given.clean_label is not None:
            inside = (given.clean_label < num_classes) & (given.label < num_classes)
            return transition_matrix(given.clean_label[inside], given.label[inside], num_classes)
        if num_classes not in self._train_matrix:
            raise InputError(
                f"label file '{self.path}' holds no column clean, so the noise of the other parts "
                "is not known; add that column, or draw the training labels first"
            )
        return self._train_matrix[num_classes]


@dataclass(frozen=True)
class FileNoise(LabelNoise):
    """The training labels of an earlier run, from the noise.npz it saved.

    The record keeps the original's seed, rate and matrix. The other parts are drawn
    class-conditionally with the original's realised matrix, from this ``seed``.
    """

    path: str | Path
    seed: int = 0
    kind: ClassVar[str] = "file"

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        saved = NoiseRecord.load(self.path)
        if saved.num_classes != split.num_classes:
            raise InputError(
                f"noise record '{self.path}' has {saved.num_classes} classes and the data "
                f"{split.num_classes}; write the record of a run on these data"
            )
        if split.part != "train":
            return self._from_matrix(
                split, saved.rate_requested, saved.transition_matrix, generator
            )
        if len(saved.label) != len(split.clean_label):
            raise InputError(
                f"noise record '{self.path}' has {len(saved.label)} labels for "
                f"{len(split.clean_label)} samples; write the record of a run on these data"
            )
        _check_order(self.path, saved.clean_label, split.clean_label)
        return replace(saved, kind=self.kind)


def _check_order(
    path: str | Path, in_file: Integer[Tensor, " n"], in_data: Integer[Tensor, " n"]
) -> None:
    """Refuse a file whose true labels are not the data's: its labels are of other samples."""
    differ = (in_file != in_data).nonzero().flatten()
    if len(differ):
        place = int(differ[0])
        raise InputError(
            f"'{path}' is in another order than the data: true labels differ at {len(differ)} of "
            f"{len(in_data)} places, first at {place} (file {int(in_file[place])}, data "
            f"{int(in_data[place])}); write the file of these data"
        )
