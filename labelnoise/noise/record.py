"""The artefact a draw of label noise leaves behind: what was asked for and what came out."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labelnoise.checks import check_word
from labelnoise.errors import InputError
from labelnoise.files import write_arrays
from labelnoise.noise.checks import check_labels
from labelnoise.noise.matrices import transition_matrix
from labelnoise.noise.record_file import read_record_arrays
from labelnoise.noise.truth import TRUTHS, Truth, known

# Records of earlier versions do not say where their labels come from. We flipped those of all other
# kinds; those took the folders' names for the true labels of a CSV without asking.
_OLDER: dict[str, Truth] = {"human": "given", "csv": "unknown"}


@dataclass(frozen=True, eq=False)
class NoiseRecord:
    """One split's given labels, beside its true ones where these are known, and how they were made.

    ``truth`` says where the labels come from:

    =======  =====================================================================================
    made     we flipped labels that we took for true ones, none of them under ``noise=none``
    given    somebody gave the labels, and the true ones are known
    unknown  somebody gave the labels, and nobody knows which of them are wrong: ``clean_label`` and
             all that follows from it are None, and ``is_noisy`` raises
    =======  =====================================================================================

    Attributes:
        kind: the noise's name, as in ``noise=symmetric``.
        seed: what the draw was seeded with.
        rate_requested: the rate as it was asked for; None where no single number was.
        matrix_requested: (K, K) float64, the matrix drawn from; None where there is none.
        clean_label: (n,) int64, the true labels; None where they are not known.
        label: (n,) int64, the given labels.
        num_classes: K.
        dropped_outside_classes: training samples left out because the file's label is none of the
            data's classes.
        source_index: (n,) int64, places in the published data set where samples were left out;
            else None.
        truth: "made", "given" or "unknown".

    Raises:
        InputError: for labels out of range, lengths that differ, or true labels where ``truth``
            says that there are none.

    Example:
        >>> clean, label = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1])
        >>> record = NoiseRecord("symmetric", 0, 0.25, None, clean, label, num_classes=2)
        >>> record.rate_realised, record.per_class_rates.tolist()
        (0.25, [0.5, 0.0])
        >>> record.fingerprint
        '7fe5e1aca2a519a7'
    """

    kind: str
    seed: int | None
    rate_requested: float | None
    matrix_requested: Float[Tensor, "K K"] | None
    clean_label: Int[Tensor, " n"] | None
    label: Int[Tensor, " n"]
    num_classes: int
    dropped_outside_classes: int = 0
    source_index: Int[Tensor, " n"] | None = None
    truth: Truth = "made"

    def __post_init__(self) -> None:
        check_word("truth", self.truth, TRUTHS)
        if (self.clean_label is None) != (self.truth == "unknown"):
            has = "no" if self.clean_label is None else "a"
            raise InputError(f"a record of truth {self.truth!r} has {has} clean_label")
        for name in ("clean_label", "label"):
            if getattr(self, name) is not None:
                checked = check_labels(getattr(self, name), self.num_classes, name)
                object.__setattr__(self, name, checked)
        if self.clean_label is not None and len(self.label) != len(self.clean_label):
            raise InputError(
                f"{len(self.label)} labels for {len(self.clean_label)} clean labels; "
                "give one a sample"
            )
        if self.source_index is not None and len(self.source_index) != len(self.label):
            raise InputError(
                f"{len(self.source_index)} places in source_index for {len(self.label)} labels; "
                "give one a sample"
            )

    @property
    def truth_known(self) -> bool:
        """Whether there are true labels."""
        return self.clean_label is not None

    @property
    def is_noisy(self) -> Bool[Tensor, " n"]:
        """The given label is not the true one; raises UnknownTruth where that is not known."""
        return self.label != known(self.clean_label)

    @property
    def rate_realised(self) -> float | None:
        """The share of wrong labels, 0 of no samples; None where it is not known."""
        if not self.truth_known:
            return None
        return self.is_noisy.double().mean().item() if len(self.label) else 0.0

    @property
    def transition_matrix(self) -> Float[Tensor, "K K"] | None:
        """The realised matrix, float64; a class without samples has the identity's row.

        None where it is not known.
        """
        if self.clean_label is None:
            return None
        return transition_matrix(self.clean_label, self.label, self.num_classes)

    @property
    def per_class_rates(self) -> Float[Tensor, " K"] | None:
        """The share of wrong labels among the samples of each true class, float64.

        None where it is not known.
        """
        matrix = self.transition_matrix
        return None if matrix is None else 1 - matrix.diagonal()

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the SHA-256 over K, clean_label and label, the same on every machine.

        Without clean_label where the true labels are not known.
        """
        digest = hashlib.sha256()
        for part in (torch.tensor([self.num_classes]), self.clean_label, self.label):
            if part is not None:
                digest.update(part.numpy().astype("<i8").tobytes())
        return digest.hexdigest()[:16]

    def without_truth(self) -> NoiseRecord:
        """The record of the same given labels, where nobody knows the true ones.

        Nothing was flipped either, so that nothing was asked for.
        """
        return replace(
            self,
            seed=None,
            rate_requested=None,
            matrix_requested=None,
            clean_label=None,
            truth="unknown",
        )

    def summary(self) -> dict[str, Any]:
        """The record without its labels, in plain types that JSON can hold; None if not known."""
        return {
            "kind": self.kind,
            "truth": self.truth,
            "seed": self.seed,
            "rate_requested": self.rate_requested,
            "rate_realised": self.rate_realised,
            "per_class_rates": _rounded(self.per_class_rates),
            "transition_matrix": _rounded(self.transition_matrix),
            "matrix_requested": _rounded(self.matrix_requested),
            "dropped_outside_classes": self.dropped_outside_classes,
            "fingerprint": self.fingerprint,
        }

    def describe(self) -> str:
        """The record in one line, for a log."""
        dropped = self.dropped_outside_classes
        outside = f"{dropped} samples dropped, labelled as other classes; " if dropped else ""
        rates, rate = self.per_class_rates, self.rate_realised
        if rates is None or rate is None:
            return (
                f"{len(self.label)} labels as given, the true ones are not known; "
                f"{outside}fingerprint {self.fingerprint}"
            )
        asked = "" if self.rate_requested is None else f"asked {self.rate_requested:.2%}, "
        return (
            f"noise {self.kind}: {asked}realised {rate:.2%} "
            f"({int(self.is_noisy.sum())} of {len(self.label)} labels wrong, "
            f"{rates.min().item():.2%} to {rates.max().item():.2%} by class), "
            f"{outside}seed {self.seed}, fingerprint {self.fingerprint}"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record to ``path``, an .npz of plain arrays, whole or not at all."""
        # None would become an object array, which only a pickle can hold.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        write_arrays(Path(path), {k: v for k, v in values.items() if v is not None})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NoiseRecord:
        """Read a record that ``save`` wrote.

        Raises:
            InputError: for a file that is missing, damaged, or holds something else.
        """
        source = Path(path).expanduser()
        arrays = read_record_arrays(source)
        seed, rate = arrays.get("seed"), arrays.get("rate_requested")
        matrix, places = arrays.get("matrix_requested"), arrays.get("source_index")
        try:
            num_classes = int(arrays["num_classes"].item())
            labels = {
                name: check_labels(torch.from_numpy(arrays[name]), num_classes, name)
                for name in ("clean_label", "label")
                if name in arrays
            }
            kind = str(arrays["kind"].item())
            truth: Any = str(arrays["truth"]) if "truth" in arrays else _OLDER.get(kind, "made")
            return cls(
                kind=kind,
                seed=None if seed is None else int(seed.item()),
                rate_requested=None if rate is None else float(rate.item()),
                matrix_requested=None if matrix is None else torch.from_numpy(matrix),
                clean_label=None if truth == "unknown" else labels["clean_label"],
                label=labels["label"],
                num_classes=num_classes,
                # Records of earlier versions have none of these.
                dropped_outside_classes=int(arrays.get("dropped_outside_classes", np.array(0))),
                source_index=None if places is None else torch.from_numpy(places),
                truth=truth,
            )
        except (ValueError, TypeError) as error:  # InputError is a ValueError
            raise InputError(
                f"noise record '{source}' holds {', '.join(arrays)}, and not as a record does: "
                f"{error}; write the noise.npz of an earlier run"
            ) from error


def _rounded(values: Tensor | None) -> list[Any] | None:
    """Nested lists of numbers with six decimals; None of None."""
    if values is None:
        return None
    rows: list[Any] = np.round(values.numpy().astype(np.float64), 6).tolist()
    return rows
