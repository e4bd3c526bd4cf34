"""Your own features: a table or embeddings with labels."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labelnoise.checks import check_word
from labelnoise.data.feature_classes import class_names_of, classes_of
from labelnoise.data.feature_table import FeatureTable, read_features
from labelnoise.data.mapped import Inputs
from labelnoise.data.pool import PoolDataModule
from labelnoise.data.samples import Samples
from labelnoise.data.standardize import Standardize
from labelnoise.errors import InputError
from labelnoise.files.label_words import some
from labelnoise.files.writing import content_of
from labelnoise.noise import LabelNoise, NoiseRecord

log = logging.getLogger(__name__)

# Values of data.truth.
TRUTHS = ("unknown", "labels")


class FeaturesDataModule(PoolDataModule):
    """Rows of numbers with labels, from .npz, CSV or Parquet; see :class:`PoolDataModule`.

    The columns are standardized by the mean and the standard deviation of the training split. Noise
    that depends on the features (``noise=instance``) sees the columns standardized by all samples
    that get noise, because the training split is drawn after the noise.

    Besides the features a file has the labels and perhaps these columns, which are no features:
    ``clean``, the true labels; ``split``, with "train" or "test" for each row; ``id``, the names of
    the rows. With ``clean`` the labels are the given labels, the kind of the record is "table", and
    the true labels are known. Without it ``noise`` flips the labels, and if it flips nothing, they
    are the given labels, whose truth is unknown unless ``truth`` is "labels".

    Args:
        noise: the label noise; "none" if the file has true labels.
        path: the file. An .npz has the arrays X (n, d) and y (n,).
        test_path: another file with the same columns for the test; None: the rows with split=test,
            or no test.
        label_column: the column of the labels, in CSV and Parquet.
        truth: "labels" if the labels in the files are the true labels, else "unknown".
        options: those of :class:`PoolDataModule`.

    Attributes (after ``setup``):
        columns: the names of the features.

    Raises:
        InputError: an unknown ``truth``; at set-up, files that cannot be used.
    """

    columns: list[str]

    def __init__(
        self,
        noise: LabelNoise,
        *,
        path: str | Path,
        test_path: str | Path | None = None,
        label_column: str = "label",
        truth: str = "unknown",
        **options: Any,
    ) -> None:
        super().__init__(noise, **options)
        check_word("data.truth", truth, TRUTHS)
        self.path = Path(path).expanduser()
        self.test_path = None if test_path is None else Path(test_path).expanduser()
        self.label_column = label_column
        self.labels_are_true = truth == "labels"
        self._given: dict[str, Tensor] = {}

    def sources(self) -> dict[str, str | None]:
        found = super().sources() | {"data.path": content_of(self.path)}
        if self.test_path is None:
            return found
        return found | {"data.test_path": content_of(self.test_path)}

    def read(self) -> tuple[Samples, Samples | None]:
        train, test = self._tables()
        if train.clean is not None and (self.noise.kind != "none" or self.labels_are_true):
            other = "data.truth=labels" if self.labels_are_true else f"noise={self.noise.kind}"
            raise InputError(
                f"{train.source} has a column clean with the true labels beside the given labels, "
                f"but {other} takes the given labels for true: write noise=none "
                "data.truth=unknown, or leave the column out"
            )
        self.columns, self.input_shape = train.columns, (len(train.columns),)
        self.class_names = class_names_of([*train.label, *(train.clean or ())], train.source)
        self._names = train.name
        tested = "no test rows" if test is None else f"{len(test)} test rows"
        log.info(
            f"{self.path}: {len(train)} training rows and {tested} of {len(self.columns)} features "
            f"({some(self.columns, 3)}) in {len(self.class_names)} classes "
            f"({some(self.class_names)})"
        )
        samples = self._samples(train, "train")
        return samples, None if test is None else self._samples(test, "test")

    def _tables(self) -> tuple[FeatureTable, FeatureTable | None]:
        """The training and the test rows."""
        table = read_features(self.path, self.label_column)
        if self.test_path is not None:
            if table.split is not None:
                raise InputError(
                    f"{self.path} has a column split, so data.test_path={self.test_path} would be "
                    "a second test set: leave one of the two out"
                )
            test = read_features(self.test_path, self.label_column)
            return table, _with_columns(replace(test, split=None), table)
        if table.split is None:
            return table, None
        train, test = table.rows("train"), table.rows("test")
        if not len(train):
            raise InputError(
                f"{self.path} has no row with split=train; write train in the column split"
            )
        return train, test if len(test) else None

    def _samples(self, table: FeatureTable, part: str) -> Samples:
        label = classes_of(table.label, self.class_names, table.source)
        if table.clean is not None:
            self._given[part] = label
            label = classes_of(table.clean, self.class_names, table.source)
        return Samples.in_memory(torch.from_numpy(table.features), label)

    def sample_names(self, source_index: Tensor) -> list[str]:
        """The ids of training rows, or their row numbers in the file, from 0."""
        return [self._names[i] for i in source_index.tolist()]

    def _draw_pool(self, pool: Samples) -> NoiseRecord:
        self.normalize = Standardize(pool.inputs())  # for this draw; the training split is later
        return super()._draw_pool(pool)

    def _draw(
        self, samples: Samples, part: str, train_record: NoiseRecord | None = None
    ) -> NoiseRecord:
        if part not in self._given:
            return super()._draw(samples, part, train_record)
        label = self._given[part][samples.source_index]
        return NoiseRecord.of_file("table", label, samples.label, self.num_classes)

    def _prepare(self, train: Inputs) -> None:
        self.normalize = ready = Standardize(train[:])
        constant = [self.columns[i] for i in ready.constant.nonzero().flatten().tolist()]
        if constant:
            log.warning(
                "%d of %d features are constant in the training split and count as 0: %s",
                len(constant), len(self.columns), some(constant),
            )  # fmt: skip


def _with_columns(test: FeatureTable, train: FeatureTable) -> FeatureTable:
    """The test rows with their columns in the order of the training rows."""
    if test.columns == train.columns:
        return test
    missing = [name for name in train.columns if name not in test.columns]
    more = [name for name in test.columns if name not in train.columns]
    if missing or more:
        raise InputError(
            f"{test.source} has {len(test.columns)} features but {train.source} has "
            f"{len(train.columns)}: {some(missing, 5) or 'nothing'} is missing and "
            f"{some(more, 5) or 'nothing'} is new; write the same columns in both files"
        )
    order = [test.columns.index(name) for name in train.columns]
    return replace(test, features=test.features[:, order], columns=train.columns)
