"""The kinds of label noise that a file gives: people's labels, their twin, an earlier run's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.files import content_of
from labelnoise.noise.checks import check_labels
from labelnoise.noise.flips import permute_within_classes
from labelnoise.noise.kinds import CleanSplit, LabelNoise
from labelnoise.noise.label_files import read_labels
from labelnoise.noise.label_words import check_places
from labelnoise.noise.matrices import transition_matrix
from labelnoise.noise.record import NoiseRecord


@dataclass(frozen=True)
class HumanNoise(LabelNoise):
    """The training labels that people gave, read from a file.

    On some of the published classes only the samples whose given label is one of these are kept,
    and the record counts those dropped. The classes are not made equally large again; of what is
    kept, data.per_class draws as many of each as it asks for.

    People labelled the training samples only. The other parts are drawn class-conditionally with
    the realised matrix of the file's labels. A file without true labels has no such matrix; there
    the matrix is that of the split's ``train_record``.

    Attributes:
        path: .npz, .csv or .pt, see `read_labels`.
        column: which labels of the file; None if it holds one column beside the true labels.
        seed: of the draws for the other parts.

    Source:
        J. Wei et al., "Learning with Noisy Labels Revisited", ICLR 2022: CIFAR-10N, CIFAR-100N and
        their files.
    """

    path: str | Path
    column: str | None = None
    seed: int = 0
    kind: ClassVar[str] = "human"

    def sources(self) -> dict[str, str | None]:
        return _path_content(self.path)

    def keeps(self, split: CleanSplit) -> Bool[Tensor, " n"]:
        """The samples whose given label is one of the data's classes."""
        if split.source_classes is None:
            return super().keeps(split)
        kept = _to_data(self._given(split)[1], split.source_classes) >= 0
        counts = split.clean_label[kept].bincount(minlength=split.num_classes)
        if not counts.all():
            raise InputError(
                f"label file '{self.path}' leaves {counts.tolist()} samples of the classes "
                f"{_names(split)} that are labelled as one of these; choose another column "
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
        """Whether the data's labels are true ones, or the file has true ones equal to them."""
        return split.labels_are_true or read_labels(self.path, self.column).clean_label is not None

    def _given(self, split: CleanSplit) -> tuple[str, Int[Tensor, " n"]]:
        """The column's name and the file's labels of the split's samples, numbered as published."""
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
                f"label file '{self.path}' has {size} labels and the data ask for "
                f"places {int(index.min())} to {int(index.max())}; write the file of these data"
            )
        if given.clean_label is not None:
            clean = torch.tensor(_classes(split))[split.clean_label]
            _check_order(self.path, given.clean_label[index], clean)
        elif split.class_names is not None and split.source_classes is None:
            # True labels that agree with the data's would say what the numbers mean.
            check_places(given.label.tolist(), split.class_names, f"label file '{self.path}'")
        return given.column, given.label[index]

    def _labels(self, split: CleanSplit) -> Int[Tensor, " n"]:
        """The file's labels of the split's samples, all of them among the data's classes."""
        column, label = self._given(split)
        if split.source_classes is not None:
            outside = _to_data(label, split.source_classes) < 0
            if outside.any():
                raise InputError(
                    f"'{column}' of label file '{self.path}' gives {int(outside.sum())} of "
                    f"{len(label)} samples a label that is none of the classes {_names(split)}; "
                    "draw only the samples that keeps() returns"
                )
            label = _to_data(label, split.source_classes)
        return check_labels(label, split.num_classes, f"'{column}' of label file '{self.path}'")

    def _matrix(self, split: CleanSplit) -> Float[Tensor, "K K"]:
        """The realised matrix of the whole file; without true labels there, of the training labels.

        Of a file with more classes than the data, the samples count that stay within the data's.
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
                f"label file '{self.path}' holds no column clean, so the noise of the other parts "
                "is not known; add that column, or give the record of the training labels"
            )
        return train.transition_matrix


@dataclass(frozen=True)
class HumanTwinNoise(HumanNoise):
    """Synthetic noise that is as people's labels are in all but which samples are wrong.

    Of each true class exactly as many training samples get each label as people gave it, and which
    ones is drawn uniformly: class-conditional noise whose realised matrix is that of `HumanNoise`
    on the same samples. The samples kept are those that it keeps, and the labels of the other parts
    are the same, so that two runs differ in nothing but which training labels are wrong.

    ``rate_requested`` and ``matrix_requested`` are those of people's labels of these samples.

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
        # "Clean" is the data's label, from which the twin's labels are drawn, known as true or not.
        people = replace(drawn, clean_label=split.clean_label, truth="given")
        label = permute_within_classes(split.clean_label, drawn.label, split.num_classes, generator)
        return self._record(split, label, people.rate_realised, people.transition_matrix)


@dataclass(frozen=True)
class FileNoise(LabelNoise):
    """The training labels of an earlier run, from the noise.npz it saved.

    The record keeps the original's seed, rate and matrix. The other parts are drawn
    class-conditionally with the original's realised matrix, from this ``seed``. Of a run that left
    samples out, the same are left out. A record without true labels is refused: it holds no flips
    to repeat, and nothing to check that its labels belong to these samples.
    """

    path: str | Path
    seed: int = 0
    kind: ClassVar[str] = "file"

    def sources(self) -> dict[str, str | None]:
        return _path_content(self.path)

    def keeps(self, split: CleanSplit) -> Bool[Tensor, " n"]:
        """The samples of the earlier run, where that left some out."""
        saved = NoiseRecord.load(self.path)
        if saved.source_index is None or split.source_index is None:
            return super().keeps(split)
        return torch.isin(split.source_index, saved.source_index)

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        saved = NoiseRecord.load(self.path)
        if saved.clean_label is None or saved.transition_matrix is None:
            raise InputError(
                f"noise record '{self.path}' holds labels without the true ones, so there are no "
                "flips to repeat; write noise=none, and data.labels= where a CSV gave the labels"
            )
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


def _classes(split: CleanSplit) -> tuple[int, ...]:
    """The published numbers of the data's classes."""
    return tuple(range(split.num_classes) if split.source_classes is None else split.source_classes)


def _names(split: CleanSplit) -> str:
    return ", ".join(map(str, split.class_names or _classes(split)))


def _to_data(label: Int[Tensor, " n"], classes: Sequence[int]) -> Int[Tensor, " n"]:
    """Published labels as places in ``classes``, -1 for a label that is not among them."""
    places = torch.full_like(label, -1)
    for place, number in enumerate(classes):
        places[label == number] = place
    return places


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


def _path_content(path: str | Path) -> dict[str, str | None]:
    return {"noise.path": content_of(Path(path).expanduser())}
