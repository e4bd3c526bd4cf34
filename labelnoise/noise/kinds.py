"""The kinds of label noise that a run draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.noise.checks import check_labels, check_rate
from labelnoise.noise.flips import flip_labels, flip_symmetric, instance_dependent_labels
from labelnoise.noise.matrices import (
    asymmetric_matrix,
    class_conditional_matrix,
    pairflip_matrix,
    symmetric_matrix,
)
from labelnoise.noise.record import NoiseRecord
from labelnoise.seeding import stream


@dataclass(frozen=True, eq=False)
class CleanSplit:
    """A split before label noise, with everything that a kind of noise may use.

    Attributes:
        clean_label: (n,) integers 0..K-1.
        num_classes: K.
        part: "train", "val" or "test"; each has its own random stream.
        features: (n, *shape) floats, or a function from an index (b,) to them, for noise that
            depends on the input.
        class_names: K names, for noise between named classes.
        source_index: (n,) positions in the published data set, for labels from a file.
        source_classes: the K published numbers of the classes if the data have only some of them;
            None for all classes in order.
        source_size: number of training samples in the published data set.
        labels_are_true: whether ``clean_label`` is known to be true. If not, flips are still drawn
            from it, and "clean" then means the label before the flip. Noise without flips then
            leaves the truth unknown.
        train_record: the record of the training labels, for splits that are drawn later.
    """

    clean_label: Int[Tensor, " n"]
    num_classes: int
    part: str = "train"
    features: Callable[[Tensor], Tensor] | Tensor | None = None
    class_names: Sequence[str] | None = None
    source_index: Int[Tensor, " n"] | None = None
    source_classes: Sequence[int] | None = None
    source_size: int | None = None
    labels_are_true: bool = True
    train_record: NoiseRecord | None = None


class LabelNoise(ABC):
    """A kind of label noise; a subclass is a frozen dataclass with ``kind`` and ``_draw``."""

    kind: ClassVar[str]
    seed: int

    def sources(self) -> dict[str, str | None]:
        """A fingerprint for each option that names a file; None if the file does not exist."""
        return {}

    def draw(self, split: CleanSplit) -> NoiseRecord:
        """Draw the given labels of a split from its true labels.

        Raises:
            InputError: labels out of range, a rate that is too high, or missing information.
        """
        clean = check_labels(split.clean_label, split.num_classes, "clean_label")
        generator = stream(self.seed, "noise", split.part)
        record = self._draw(replace(split, clean_label=clean), generator)
        known = split.labels_are_true or _can_flip(record)
        return record if known else record.without_truth()

    def keeps(self, split: CleanSplit) -> Bool[Tensor, " n"]:
        """Mask of the training samples to keep: all, unless a file has labels outside the classes.

        Call it before `draw`, and pass only the kept samples to `draw`.
        """
        return torch.ones(len(split.clean_label), dtype=torch.bool)

    @abstractmethod
    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        """Draw from ``generator`` and nothing else."""

    def _record(
        self, split: CleanSplit, label: Tensor, rate: float | None, matrix: Tensor | None
    ) -> NoiseRecord:
        return NoiseRecord(
            self.kind, self.seed, rate, matrix, split.clean_label, label, split.num_classes
        )

    def _from_matrix(
        self,
        split: CleanSplit,
        rate: float | None,
        matrix: Float[Tensor, "K K"],
        generator: torch.Generator,
    ) -> NoiseRecord:
        label = flip_labels(split.clean_label, matrix, generator)
        return self._record(split, label, rate, matrix)


def _can_flip(record: NoiseRecord) -> bool:
    """Whether the draw of a record can flip labels, or the labels were given."""
    matrix = record.matrix_requested
    if record.truth != "made":
        return True
    if matrix is None:
        return record.rate_requested != 0
    return not torch.equal(matrix, torch.eye(len(matrix), dtype=matrix.dtype))


@dataclass(frozen=True)
class NoNoise(LabelNoise):
    """No label changes."""

    seed: int = 0
    kind: ClassVar[str] = "none"

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        identity = torch.eye(split.num_classes, dtype=torch.float64)
        return self._record(split, split.clean_label.clone(), 0.0, identity)


@dataclass(frozen=True)
class SymmetricNoise(LabelNoise):
    """Exactly int(rate * n) labels move to another class, drawn uniformly.

    Example:
        >>> split = CleanSplit(torch.arange(10).repeat(10), num_classes=10)
        >>> record = SymmetricNoise(rate=0.2, seed=0).draw(split)
        >>> record.rate_realised
        0.2
    """

    rate: float
    seed: int = 0
    kind: ClassVar[str] = "symmetric"

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        label = flip_symmetric(split.clean_label, split.num_classes, self.rate, generator)
        matrix = symmetric_matrix(split.num_classes, self.rate)
        return self._record(split, label, float(self.rate), matrix)


@dataclass(frozen=True)
class PairFlipNoise(LabelNoise):
    """Each class flips to the next one."""

    rate: float
    seed: int = 0
    kind: ClassVar[str] = "pairflip"

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        matrix = pairflip_matrix(split.num_classes, self.rate)
        return self._from_matrix(split, float(self.rate), matrix, generator)


@dataclass(frozen=True)
class AsymmetricNoise(LabelNoise):
    """Classes of CIFAR flip to similar classes; needs ``class_names``."""

    rate: float
    seed: int = 0
    kind: ClassVar[str] = "asymmetric"

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        if split.class_names is None:
            # Ten classes without names may be digits; flips between them would have no meaning.
            raise InputError(
                "asymmetric noise needs the classes of CIFAR, but these data have no class names; "
                "write noise=pairflip or noise=class_conditional for other data"
            )
        matrix = asymmetric_matrix(split.num_classes, self.rate, split.class_names)
        return self._from_matrix(split, float(self.rate), matrix, generator)


@dataclass(frozen=True)
class ClassConditionalNoise(LabelNoise):
    """Each class has its own rate, spread evenly over the other classes.

    Two classes can use the names of the theory: tau_plus = P(noisy = -1 | y = +1) = T[1, 0] and
    tau_minus = P(noisy = +1 | y = -1) = T[0, 1]. ``rates`` is for any number of classes.

    Source:
        arXiv 2505.18909, where y = +1 is class 1 here.

    Example:
        >>> noise = ClassConditionalNoise(tau_plus=0.5 / 2, tau_minus=0.0)
        >>> noise.draw(CleanSplit(torch.tensor([0, 0, 1, 1, 1, 1]), 2)).transition_matrix
        tensor([[1.0000, 0.0000],
                [0.2500, 0.7500]], dtype=torch.float64)
    """

    rates: Sequence[float] | None = None
    tau_plus: float | None = None
    tau_minus: float | None = None
    seed: int = 0
    kind: ClassVar[str] = "class_conditional"

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        rates = self._rates(split.num_classes)
        matrix = class_conditional_matrix(rates)
        rate = float(rates[0]) if len(set(rates)) == 1 else None
        return self._from_matrix(split, rate, matrix, generator)

    def _rates(self, num_classes: int) -> list[float]:
        """One rate for each class, from ``rates`` or from the two taus."""
        taus = (self.tau_minus, self.tau_plus)
        if self.rates is not None:
            if taus != (None, None):
                raise InputError(
                    "class-conditional noise has both rates and tau_plus or tau_minus; "
                    "write noise.rates=[...] noise.tau_plus=null noise.tau_minus=null, or no rates"
                )
            if len(self.rates) != num_classes:
                raise InputError(
                    f"class-conditional noise has {len(self.rates)} rates for {num_classes} "
                    "classes; write one for each class in noise.rates=[...]"
                )
            return list(self.rates)
        if num_classes > 2:
            raise InputError(
                f"class-conditional noise on {num_classes} classes needs a rate for each class, "
                "because tau_plus and tau_minus are for two classes; "
                "write noise.rates=[...] noise.tau_plus=null noise.tau_minus=null"
            )
        if self.tau_minus is None or self.tau_plus is None:
            raise InputError(
                f"class-conditional noise has tau_plus={self.tau_plus} and "
                f"tau_minus={self.tau_minus}; write both, or noise.rates=[...]"
            )
        return [
            check_rate(self.tau_minus, num_classes, name="tau_minus"),
            check_rate(self.tau_plus, num_classes, name="tau_plus"),
        ]


@dataclass(frozen=True)
class InstanceDependentNoise(LabelNoise):
    """Flips to a class that a random projection of the features gives; needs ``features``."""

    rate: float
    seed: int = 0
    kind: ClassVar[str] = "instance"

    def _draw(self, split: CleanSplit, generator: torch.Generator) -> NoiseRecord:
        if split.features is None:
            raise InputError(
                "instance-dependent noise needs features of the samples, but these data have none; "
                "write noise=symmetric or noise=class_conditional"
            )
        label = instance_dependent_labels(
            split.features,
            split.clean_label,
            split.num_classes,
            self.rate,
            generator,
            # The same projection for all splits: similar samples flip to similar classes.
            stream(self.seed, "noise", "projection"),
        )
        return self._record(split, label, float(self.rate), None)
