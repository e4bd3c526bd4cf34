"""The review sheet of a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from labelnoise.checks import COUNT, check_number
from labelnoise.data.batch import Split
from labelnoise.data.corrections import fingerprint_of
from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.errors import InputError
from labelnoise.files.label_words import some
from labelnoise.files.tables import read_rows
from labelnoise.report.loaded import read_dynamics, reading
from labelnoise.review.samples import LARGEST, picture, values_in_words
from labelnoise.review.sheet import Score, Sheet, Suspect, bars, score_of_rank
from labelnoise.run_directory import RunDirectory
from labelnoise.training.rebuilding import rebuild_data, stored_config

# The columns of suspects.csv that are not scores.
FACTS = {
    "rank", "sample", "given_label", "suggested_label", "probably_wrong", "true_label", "fold",
    "duplicate",
}  # fmt: skip
NEEDED = ("sample", "given_label", "suggested_label")


def sheet_of_run(path: Path, top: int = 200, allow_targets: Sequence[str] = ()) -> Sheet:
    """The ``top`` most suspicious training samples of the finished run in ``path``.

    Raises:
        InputError: there is no finished run with suspects.csv and dynamics/, or its data have
            changed.
    """
    check_number("--top", top, COUNT)
    directory = RunDirectory(path)
    directory.read_summary()  # refuses an unfinished run
    ranking = read_ranking(directory.suspects)
    dynamics = read_dynamics(directory, rows=0)
    losses: NDArray[np.float32] = dynamics.log.arrays["loss"][: len(dynamics.log)]
    data = rebuild_data(directory, stored_config(directory, allow_targets))
    return sheet_of(directory.path, data, ranking, top, dynamics.name, losses)


def sheet_of(
    path: Path,
    data: NoisyLabelDataModule,
    ranking: Sequence[Mapping[str, str]],
    top: int,
    names: NDArray[Any],
    losses: NDArray[Any],
) -> Sheet:
    """The ``top`` first samples of a ranking, with their pictures.

    Args:
        path: the directory of the ranking.
        data: the data after ``setup``.
        ranking: the rows of suspects.csv.
        top: the number of samples.
        names: (n,) names of samples.
        losses: (T, n) their losses in each epoch.

    Raises:
        InputError: the ranking is not a ranking of these data.
    """
    pool = Pool(data)
    pool.check(path, ranking)
    scores = scores_of(ranking)
    group = groups_of(ranking)
    ranked_by = score_of_rank(scores, group)
    lengths = bars(scores, ranked_by)
    column = {str(name): i for i, name in enumerate(names)}
    return Sheet(
        title=path.resolve().name,
        fingerprint=pool.fingerprint,
        class_names=pool.class_names,
        suspects=[
            Suspect(
                name=row["sample"],
                given=row["given_label"],
                suggested=row["suggested_label"],
                scores=[Score(k, float(scores[k][i]), float(v[i])) for k, v in lengths.items()],
                losses=losses[:, column[row["sample"]]].tolist() if row["sample"] in column else (),
                picture=pool.picture(row["sample"]),
                values=pool.values(row["sample"]),
            )
            for i, row in enumerate(ranking[:top])
        ],
        listed=len(ranking),
        typical=np.median(losses, 1).tolist(),
        correctable=data.takes_corrections,
        ranked_by=ranked_by,
        grouped=bool(group.any()),
    )


class Pool:
    """The samples with labels to review: training and held-out samples, by name."""

    def __init__(self, data: NoisyLabelDataModule) -> None:
        self.data = data
        self.class_names = [str(name) for name in data.class_names]
        # Drawn validation samples have the positions of training samples as names.
        held = data.val if data.takes_corrections else None
        splits = [split for split in (data.train, held) if split is not None]
        named = [data.sample_names(split.source_index) for split in splits]
        self.place: dict[str, tuple[Split, int]] = {
            name: (split, i)
            for split, names in zip(splits, named, strict=True)
            for i, name in enumerate(names)
        }
        self.given = {
            name: self.class_names[int(split.label[i])] for name, (split, i) in self.place.items()
        }

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the names and given labels."""
        return fingerprint_of(list(self.given), list(self.given.values()))

    def check(self, path: Path, ranking: Sequence[Mapping[str, str]]) -> None:
        """Refuse a ranking of other samples, labels or classes."""
        classes = set(self.class_names)
        for row in ranking:
            name, given, suggested = (row[key] for key in NEEDED)
            if name not in self.given:
                raise InputError(f"{path} ranks '{name}', which is not in its data: {_ADVICE}")
            if self.given[name] != given:
                raise InputError(
                    f"{path} ranks '{name}' with the label '{given}', but the data give it "
                    f"'{self.given[name]}': {_ADVICE}"
                )
            if suggested not in classes:
                raise InputError(
                    f"{path} suggests '{suggested}' for '{name}', but the classes are "
                    f"{some(self.class_names)}: {_ADVICE}"
                )

    def picture(self, name: str) -> str | None:
        """The picture of a sample; None if the data are not images."""
        split, i = self.place[name]
        if split.input.dtype != torch.uint8 or split.input.ndim != 4:
            return None
        larger = self.data.picture(int(split.source_index[i]), LARGEST)
        return picture((split.input[i] if larger is None else larger).numpy())

    def values(self, name: str) -> list[tuple[str, str]]:
        """The values of a sample in words; none for images."""
        split, i = self.place[name]
        return [] if split.input.dtype == torch.uint8 else values_in_words(split.input[i])


_ADVICE = "write suspects.csv again by python -m labelnoise.report suspects"


def read_ranking(file: Path) -> list[dict[str, str]]:
    """The rows of suspects.csv.

    Raises:
        InputError: the file is missing, damaged or empty.
    """
    if not file.is_file():
        raise InputError(
            f"{file.parent} has no {file.name}: train with monitor=[memorization,dynamics], or "
            "write the file by python -m labelnoise.report suspects"
        )
    with reading(file):
        rows = read_rows(file)
    missing = [name for name in NEEDED if not rows or name not in rows[0]]
    if missing:
        raise InputError(f"{file} has no rows with the column {missing[0]}: {_ADVICE}")
    return rows


def scores_of(ranking: Sequence[Mapping[str, str]]) -> dict[str, NDArray[np.float64]]:
    """The scores of all rows by name; a column with text is not a score.

    Example:
        >>> scores_of([{"rank": "1", "aum": "0.5", "note": "x"}])
        {'aum': array([0.5])}
    """
    scores = {}
    for name in (name for name in ranking[0] if name not in FACTS):
        with suppress(ValueError):
            scores[name] = np.array([float(row[name]) for row in ranking])
    return scores


def groups_of(ranking: Sequence[Mapping[str, str]]) -> NDArray[np.float64]:
    """(n,) 1 for samples that a run lists first because their labels are probably wrong.

    Example:
        >>> groups_of([{"probably_wrong": "1"}, {"probably_wrong": "0"}]).tolist()
        [1.0, 0.0]
    """
    return np.array([float(row.get("probably_wrong") == "1") for row in ranking])
