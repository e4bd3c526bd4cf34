"""Label noise from a file: human labels, their synthetic twin, and the record of an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.files.label_words import check_places
from labelnoise.files.writing import content_of
from labelnoise.noise.checks import check_labels
from labelnoise.noise.flips import permute_within_classes
from labelnoise.noise.kinds import CleanSplit, LabelNoise
from labelnoise.noise.label_files import read_labels
from labelnoise.noise.matrices import transition_matrix
from labelnoise.noise.record import NoiseRecord


@dataclass(frozen=True)
class HumanNoise(LabelNoise):
    """Human labels of the training samples, read from a file.

    If the data have only some of the published classes, samples with a given label outside these
    classes are dropped, and the record has their number. The class sizes are not balanced again;
    data.per_class draws from the kept samples.

    The file labels only the training samples. The labels of the other splits are drawn
    class-conditionally with the realised matrix of the file. If the file has no true labels, the
    matrix of ``train_record`` is used.

    Attributes:
        path: .npz, .csv or .pt, see `read_labels`.
        column: the column of labels; None if the file has only one column besides the true labels.
        seed: seed of the draws for the other splits.

    Source:
        J. Wei et al., "Learning with Noisy Labels Revisited", ICLR 2022: CIFAR-10N and CIFAR-100N.
    """

    path: str | Path
    column: str | None = None
    seed: int = 0
    kind: ClassVar[str] = "human"

    def sources(self) -> dict[str, str | None]:
        return _path_content(self.path)

    def keeps(self, split: CleanSplit) -> Bool[Tensor, " n"]:
        """Mask of the samples with a given label among the classes of the data."""
        if split.source_classes is None:
            return super().keeps(split)
        kept = _to_data(self._given(split)[1], split.source_classes) >= 0
        counts = split.clean_label[kept].bincount(minlength=split.num_classes)
        if not counts.all():
            raise InputError(
                f"label file '{self.path}' leaves {counts.tolist()} samples of the classes "
                f"{_names(split)} with a label among these classes; choose another column "
                "or other classes"
            )
        return kept

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        known = self._knows_truth(split)
        if split.part != "train":
            if not known:
                return self._record(split, split.clean_label, None, None).without_truth()
            return self._from_matrix(split, None, self._matrix(split), generator)
        label = self._labels(split)
        record = replace(self._record(split, label, None, None), truth="given")
        return record if known else record.without_truth()

    def _knows_truth(self, split: CleanSplit) -> bool:
        """Whether the labels of the data are true, or equal to true labels in the file."""
        return split.labels_are_true or read_labels(self.path, self.column).clean_label is not None

    def _given(self, split: CleanSplit) -> tuple[str, Int[Tensor, " n"]]:
        """The name of the column, and its labels of the split's samples in published numbers."""
        given = read_labels(self.path, self.column)
        size, index = len(given.label), split.source_index
        if given.clean_label is not None and size:
            check_labels(
                given.label,
                max(int(given.clean_label.max()) + 1, split.num_classes),
                f"'{given.column}' of label file '{self.path}'",
            )
        wanted = len(split.clean_label) if index is None else split.source_size
        if wanted is not None and size != wanted:
            raise InputError(
                f"label file '{self.path}' has {size} labels for {wanted} samples in "
                f"'{given.column}'; write the file of these data"
            )
        index = torch.arange(size) if index is None else index.to("cpu", torch.int64)
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < size:
            raise InputError(
                f"label file '{self.path}' has {size} labels, but the data have "
                f"positions {int(index.min())} to {int(index.max())}; write the file of these data"
            )
        if given.clean_label is not None:
            clean = torch.tensor(_classes(split))[split.clean_label]
            _check_order(self.path, given.clean_label[index], clean)
        elif split.class_names is not None and split.source_classes is None:
            # Without true labels in the file, the meaning of the numbers is checked here.
            check_places(given.label.tolist(), split.class_names, f"label file '{self.path}'")
        return given.column, given.label[index]

    def _labels(self, split: CleanSplit) -> Int[Tensor, " n"]:
        """The labels of the split's samples; all must be among the classes of the data."""
        column, label = self._given(split)
        if split.source_classes is not None:
            outside = _to_data(label, split.source_classes) < 0
            if outside.any():
                raise InputError(
                    f"'{column}' of label file '{self.path}' gives {int(outside.sum())} of "
                    f"{len(label)} samples a label outside the classes {_names(split)}; "
                    "draw only the samples that keeps() returns"
                )
            label = _to_data(label, split.source_classes)
        return check_labels(label, split.num_classes, f"'{column}' of label file '{self.path}'")

    def _matrix(self, split: CleanSplit) -> Float[Tensor, "K K"]:
        """The realised matrix of the file, or of the training labels if it has no true labels.

        Only samples with both labels among the classes of the data count.
        """
        given = read_labels(self.path, self.column)
        classes = _classes(split)
        if given.clean_label is not None:
            clean, label = _to_data(given.clean_label, classes), _to_data(given.label, classes)
            inside = (clean >= 0) & (label >= 0)
            return transition_matrix(clean[inside], label[inside], split.num_classes)
        train = split.train_record
        if train is None or train.transition_matrix is None:
            raise InputError(
                f"label file '{self.path}' has no column clean, so the noise of the other splits "
                "is unknown; add this column, or give the record of the training labels"
            )
        return train.transition_matrix


@dataclass(frozen=True)
class HumanTwinNoise(HumanNoise):
    """Synthetic class-conditional noise with the realised matrix of `HumanNoise`.

    In each true class exactly as many training samples have label j as with the human labels, but
    the samples are drawn uniformly. The kept samples and the labels of the other splits are the
    same as with `HumanNoise`. Two runs therefore differ only in which training labels are wrong.

    ``rate_requested`` and ``matrix_requested`` are those of the human labels of these samples.

    Example:
        >>> import tempfile, numpy as np
        >>> clean, worse = torch.arange(2).repeat(50), torch.zeros(100, dtype=torch.int64)
        >>> worse[1:60:2] = 1
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.savez(f"{folder}/labels.npz", clean=clean.numpy(), worse=worse.numpy())
        ...     human = HumanNoise(f"{folder}/labels.npz").draw(CleanSplit(clean, 2))
        ...     twin = HumanTwinNoise(f"{folder}/labels.npz").draw(CleanSplit(clean, 2))
        >>> torch.equal(human.transition_matrix, twin.transition_matrix), human.rate_realised
        (True, 0.2)
        >>> torch.equal(human.label, twin.label)
        False
    """

    kind: ClassVar[str] = "human_twin"

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        drawn = super()._draw(split, generator)
        if split.part != "train":
            return drawn
        # "Clean" is here the label of the data, whether or not it is known to be true.
        human = replace(drawn, clean_label=split.clean_label, truth="given")
        label = permute_within_classes(split.clean_label, drawn.label, split.num_classes, generator)
        return self._record(split, label, human.rate_realised, human.transition_matrix)


@dataclass(frozen=True)
class FileNoise(LabelNoise):
    """The training labels of an earlier run, from its noise.npz.

    The record keeps the seed, rate and matrix of the original. The labels of the other splits are
    drawn class-conditionally with the realised matrix of the original and with this ``seed``.
    Samples that the earlier run left out are left out again. A record without true labels is
    refused, because its flips and the order of its samples are unknown.
    """

    path: str | Path
    seed: int = 0
    kind: ClassVar[str] = "file"

    def sources(self) -> dict[str, str | None]:
        return _path_content(self.path)

    def keeps(self, split: CleanSplit) -> Bool[Tensor, " n"]:
        """Mask of the samples of the earlier run."""
        saved = NoiseRecord.load(self.path)
        if saved.source_index is None or split.source_index is None:
            return super().keeps(split)
        return torch.isin(split.source_index, saved.source_index)

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        saved = NoiseRecord.load(self.path)
        if saved.clean_label is None or saved.transition_matrix is None:
            raise InputError(
                f"noise record '{self.path}' has no true labels, so there are no flips to repeat; "
                "write noise=none, and data.labels= if a CSV gave the labels"
            )
        if saved.num_classes != split.num_classes:
            raise InputError(
                f"noise record '{self.path}' has {saved.num_classes} classes but the data have "
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


def _classes(split: CleanSplit) -> tuple[int, ...]:
    """The published numbers of the classes of the data."""
    return tuple(range(split.num_classes) if split.source_classes is None else split.source_classes)


def _names(split: CleanSplit) -> str:
    return ", ".join(map(str, split.class_names or _classes(split)))


def _to_data(label: Int[Tensor, " n"], classes: Sequence[int]) -> Int[Tensor, " n"]:
    """Published labels as positions in ``classes``; -1 for a label outside ``classes``."""
    places = torch.full_like(label, -1)
    for place, number in enumerate(classes):
        places[label == number] = place
    return places


def _check_order(
    path: str | Path, in_file: Integer[Tensor, " n"], in_data: Integer[Tensor, " n"]
) -> None:
    """Refuse a file with other true labels than the data."""
    differ = (in_file != in_data).nonzero().flatten()
    if len(differ):
        place = int(differ[0])
        raise InputError(
            f"'{path}' is in another order than the data: true labels differ at {len(differ)} of "
            f"{len(in_data)} positions, first at {place} (file {int(in_file[place])}, data "
            f"{int(in_data[place])}); write the file of these data"
        )


def _path_content(path: str | Path) -> dict[str, str | None]:
    return {"noise.path": content_of(Path(path).expanduser())}
