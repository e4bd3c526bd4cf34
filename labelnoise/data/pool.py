"""The base class of data sets with one pool of samples: label noise, held-out samples, loaders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Split
from labelnoise.data.corrections import correct
from labelnoise.data.loaders import Augment, TensorLoader, batches_so_far, check_batch_size
from labelnoise.data.mapped import Inputs, rows_of
from labelnoise.data.module import NoisyLabelDataModule, warn_of_missing_classes
from labelnoise.data.samples import Samples
from labelnoise.data.subsets import equal_per_class, fold_of, hold_out
from labelnoise.errors import InputError
from labelnoise.files.writing import content_of
from labelnoise.noise import CleanSplit, LabelNoise, NoiseRecord
from labelnoise.processes.distributed import rank, world_size
from labelnoise.seeding import stream

log = logging.getLogger(__name__)


class PoolDataModule(NoisyLabelDataModule):
    """Samples in memory with label noise; a data set is a subclass with :meth:`read`.

    The labels of all training samples (the pool) are made noisy together. Then a noisy validation
    split is held out of the pool; only this split may be used for selection. The test samples, if
    there are any, are for reporting, with clean and with noisy labels.

    Args:
        noise: the label noise of the pool and, with another stream, of the test labels.
        batch_size: batch size of each process; None: all training samples at every step.
        per_class: number of training samples to keep in each class, drawn at random; None: all.
            Samples with labels outside the classes are dropped before.
        test_per_class: number of test samples to keep in each class, drawn at random; None: all.
        val_fraction: share of the pool to hold out; 0 for no validation split. Every given class
            keeps a training sample, see :func:`hold_out`.
        corrections: a file, or several files in order, of the form of corrections.csv. They change
            the given labels of the pool after the noise is drawn, or drop samples, see
            :func:`labelnoise.data.corrections.correct`. The other samples stay in their splits.
        fold: (i, k): the validation split is fold i of the k folds of the pool, see
            :func:`fold_of`, and ``val_fraction`` is not used. None: no folds.
        eval_batch_size: size of the validation and test batches.
        seed: seed of the augmentation; default of the other seeds.
        split_seed: seed of ``per_class``, ``test_per_class``, the validation split and the folds.
        shuffle_seed: seed of the mini-batch order.

    Attributes (after ``setup``):
        num_classes, class_names: K and the K names.
        source_classes: the K published numbers of the classes if the data have only some of them;
            else None.
        source_size: number of training samples in the published data set.
        input_shape: the shape of a sample.
        train, val, test: the splits; ``val`` is None without held-out samples, and ``test`` is
            None without test samples. ``test.label`` is noisy, ``test.clean_label`` is true.
        noise_record: the labels of the pool (training and validation) in the order read.
        labels_are_true: whether the labels that were read are known to be true. If not, and if
            nothing is flipped, no split has clean labels.
        normalize: applied to every batch of inputs; None leaves them as they are.
    """

    takes_corrections = True
    labels_are_true: bool = True
    source_classes: Sequence[int] | None = None
    source_size: int | None = None
    normalize: Callable[[Tensor], Tensor] | None = None

    def __init__(
        self,
        noise: LabelNoise,
        *,
        batch_size: int | None = 128,
        per_class: int | None = None,
        test_per_class: int | None = None,
        val_fraction: float = 0.1,
        fold: Sequence[int] | None = None,
        corrections: str | Path | Sequence[str | Path] | None = None,
        eval_batch_size: int = 200,
        seed: int = 0,
        split_seed: int | None = None,
        shuffle_seed: int | None = None,
    ) -> None:
        super().__init__()
        check_batch_size(batch_size)
        check_options_of(
            PoolDataModule,
            "data.",
            per_class=per_class,
            test_per_class=test_per_class,
            val_fraction=val_fraction,
            eval_batch_size=eval_batch_size,
        )
        if fold is not None and not (len(fold) == 2 and 0 <= fold[0] < fold[1] >= 2):
            raise InputError(
                f"data.fold must be a fold and the number of folds as [0,5], got {list(fold)}"
            )
        self.noise = noise
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.per_class, self.test_per_class = per_class, test_per_class
        self.val_fraction, self.fold = val_fraction, fold
        self.corrections = _files(corrections)
        self.seed = seed
        self.split_seed = seed if split_seed is None else split_seed
        self.shuffle_seed = seed if shuffle_seed is None else shuffle_seed
        self._is_set_up = False

    def sources(self) -> dict[str, str | None]:
        found = self.noise.sources()
        if self.corrections:
            found = found | {"data.corrections": content_of(*self.corrections)}
        return found

    def read(self) -> tuple[Samples, Samples | None]:
        """The training and the test samples with their true labels; None without test samples.

        :meth:`setup` calls it once. It or the constructor must set ``class_names`` and
        ``input_shape``. Inputs may be read later, see :class:`labelnoise.data.samples.Samples`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no samples: write read()")

    def _inputs(self, train: Samples, test: Samples | None) -> tuple[Inputs, Inputs | None]:
        """The inputs of the training and the test samples."""
        return train.inputs(), None if test is None else test.inputs()

    def _draw_pool(self, pool: Samples) -> NoiseRecord:
        """The given labels of the training samples."""
        return self._draw(pool, "train")

    def _draw_test(self, test: Samples) -> NoiseRecord:
        """The given labels of the test samples, after those of the training samples."""
        return self._draw(test, "test", self.noise_record)

    def _check_memory(self, train: int, test: int) -> None:
        """Refuse samples that do not fit into memory, before they are read."""

    def _prepare(self, train: Inputs) -> None:
        """Learn from the inputs of the training split, for example their mean."""

    def _ready(self, input: Tensor) -> Tensor:
        return input if self.normalize is None else self.normalize(input)

    def _augmentation(self) -> Augment | None:
        """The random change of training inputs."""
        return None

    def setup(self, stage: str | None = None) -> None:
        """Read, select, flip and split; later calls do nothing."""
        if self._is_set_up:
            return
        self.prepare_data()  # does nothing if Lightning or another process has called it
        pool, test = self.read()
        self.num_classes = len(self.class_names)
        if self.source_size is None:
            self.source_size = len(pool)
        pool, test, dropped = self._select(pool, test)
        self._check_memory(len(pool), 0 if test is None else len(test))
        self.noise_record = self._draw_pool(pool)
        if dropped and self.noise_record.source_index is None:
            self.noise_record = replace(
                self.noise_record, dropped_outside_classes=dropped, source_index=pool.source_index
            )
        self._split(pool, test)
        self._is_set_up = True

    def _select(self, pool: Samples, test: Samples | None) -> tuple[Samples, Samples | None, int]:
        """The samples to use, and the number of training samples that the noise leaves out."""
        # Human labels can be outside the classes of the data.
        kept = self.noise.keeps(CleanSplit(pool.label, self.num_classes, **self._facts(pool)))
        kept = kept.nonzero().flatten()
        dropped = len(pool) - len(kept)
        pool = pool.subset(kept)
        if self.per_class is not None:
            generator = stream(self.split_seed, "subset")
            pool = pool.subset(equal_per_class(pool.label, self.per_class, generator))
        if self.test_per_class is not None and test is not None:
            generator = stream(self.split_seed, "test subset")
            index = equal_per_class(test.label, self.test_per_class, generator, "test_per_class")
            test = test.subset(index)
        return pool, test, dropped

    def _hold_out(self, pool: Samples, label: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
        """The positions of the training and of the validation samples in the pool.

        Args:
            pool: all samples.
            label: their given labels.
        """
        if self.fold is not None:
            place, folds = self.fold
            held = fold_of(label, folds, stream(self.split_seed, "folds")) == place
            return (~held).nonzero().flatten(), held.nonzero().flatten()
        rest, held = hold_out(label, self.val_fraction, stream(self.split_seed, "split"))
        if len(held) < round(len(label) * self.val_fraction):
            log.warning(
                f"data.val_fraction={self.val_fraction}: only {len(held)} of {len(label)} samples "
                "are held out, so that every class keeps a training sample"
            )
        return rest, held

    def _correct(self, pool: Samples, rest: Tensor, held: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The labels of the pool, and the positions of the splits, after the corrections."""
        drawn, files = self.noise_record, self.corrections
        if not files:
            return drawn.label, rest, held
        names = self.sample_names(pool.source_index)
        corrected = correct(files, names, drawn.label, self.class_names)
        rest, held = rest[corrected.kept[rest]], held[corrected.kept[held]]
        if not len(rest):
            raise InputError("data.corrections drops every training sample: keep some of them")
        self.noise_record = corrected.record(drawn, pool.source_index)
        self.corrected = corrected.summary(files)
        log.info("%s", corrected.describe(files))
        return corrected.label, rest, held

    def _split(self, pool: Samples, test: Samples | None) -> None:
        """Hold out the validation split, and read the inputs without a second copy."""
        drawn = self.noise_record
        # After the pool, because its record can determine the noise of the test samples.
        noisy = None if test is None else self._draw_test(test)
        label, rest, held = self._correct(pool, *self._hold_out(pool, drawn.label))
        input, test_input = self._inputs(pool.subset(torch.cat([rest, held])), test)
        train_input = rows_of(input, slice(len(rest)))
        self._prepare(train_input)

        def part(input: Inputs, index: Tensor) -> Split:
            clean, places = drawn.clean_label, pool.source_index[index]
            clean = None if clean is None else clean[index]
            return Split(input, label[index], clean, places, self.normalize)

        self.train = part(train_input, rest)
        self.val = part(rows_of(input, slice(len(rest), None)), held) if len(held) else None
        self.test = None
        if test is not None and test_input is not None and noisy is not None:
            self.test = Split(
                test_input, noisy.label, noisy.clean_label, test.source_index, self.normalize
            )
        warn_of_missing_classes(self)

    def _draw(
        self, samples: Samples, part: str, train_record: NoiseRecord | None = None
    ) -> NoiseRecord:
        facts = {**self._facts(samples), "part": part, "train_record": train_record}
        return self.noise.draw(CleanSplit(samples.label, self.num_classes, **facts))

    def _facts(self, samples: Samples) -> dict[str, Any]:
        """The arguments of CleanSplit besides the labels."""
        return {
            # A function, because few samples are needed and all as floats take much memory.
            "features": lambda index: self._ready(samples.subset(index).inputs()),
            "class_names": self.class_names,
            "source_index": samples.source_index,
            "source_classes": self.source_classes,
            "source_size": self.source_size,
            "labels_are_true": self.labels_are_true,
        }

    def train_dataloader(self) -> TensorLoader:
        return TensorLoader(
            self.train,
            self.batch_size,
            shuffle_seed=self.shuffle_seed,
            augment=self._augmentation(),
            augment_seed=self.seed,
            start=batches_so_far(self.trainer),
            limit=None if self.trainer is None else self.trainer.limit_train_batches,
            rank=rank(),
            world_size=world_size(),
        )

    def val_dataloader(self) -> TensorLoader | list[TensorLoader]:
        return [] if self.val is None else TensorLoader(self.val, self.eval_batch_size)


def _files(named: str | Path | Sequence[str | Path] | None) -> list[Path]:
    """One or several files as a list."""
    if named is None:
        return []
    several = [named] if isinstance(named, str | Path) else named
    return [Path(file).expanduser() for file in several]
