"""The artefact a draw of label noise leaves behind: what was asked for and what came out."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labelnoise.errors import InputError
from labelnoise.files import write_arrays
from labelnoise.noise.checks import check_labels
from labelnoise.noise.matrices import transition_matrix

_REQUIRED = ("kind", "num_classes", "clean_label", "label")


@dataclass(frozen=True, eq=False)
class NoiseRecord:
    """One split's given labels beside its true ones, and how they were made.

    Attributes:
        kind: the noise's name, as in ``noise=symmetric``.
        seed: what the draw was seeded with.
        rate_requested: the rate as it was asked for; None where no single number was.
        matrix_requested: (K, K) float64, the matrix drawn from; None where there is none.
        clean_label: (n,) int64, the true labels.
        label: (n,) int64, the given labels.
        num_classes: K.
        dropped_outside_classes: training samples left out because the file's label is none of the
            data's classes.
        source_index: (n,) int64, places in the published data set where samples were left out;
            else None.

    Raises:
        InputError: for labels out of range, or lengths that differ.

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
    clean_label: Int[Tensor, " n"]
    label: Int[Tensor, " n"]
    num_classes: int
    dropped_outside_classes: int = 0
    source_index: Int[Tensor, " n"] | None = None

    def __post_init__(self) -> None:
        for name in ("clean_label", "label"):
            checked = check_labels(getattr(self, name), self.num_classes, name)
            object.__setattr__(self, name, checked)
        if len(self.label) != len(self.clean_label):
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
    def is_noisy(self) -> Bool[Tensor, " n"]:
        """The given label is not the true one."""
        return self.label != self.clean_label

    @property
    def rate_realised(self) -> float:
        """The share of wrong labels; 0 of no samples."""
        return self.is_noisy.double().mean().item() if len(self.label) else 0.0

    @property
    def transition_matrix(self) -> Float[Tensor, "K K"]:
        """The realised matrix, float64; a class without samples has the identity's row."""
        return transition_matrix(self.clean_label, self.label, self.num_classes)

    @property
    def per_class_rates(self) -> Float[Tensor, " K"]:
        """The share of wrong labels among the samples of each true class, float64."""
        return 1 - self.transition_matrix.diagonal()

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the SHA-256 over K, clean_label and label, the same on every machine."""
        digest = hashlib.sha256()
        for part in (torch.tensor([self.num_classes]), self.clean_label, self.label):
            digest.update(part.numpy().astype("<i8").tobytes())
        return digest.hexdigest()[:16]

    def summary(self) -> dict[str, Any]:
        """The record without its labels, in plain types that JSON can hold."""
        requested = self.matrix_requested
        return {
            "kind": self.kind,
            "seed": self.seed,
            "rate_requested": self.rate_requested,
            "rate_realised": self.rate_realised,
            "per_class_rates": _rounded(self.per_class_rates),
            "transition_matrix": _rounded(self.transition_matrix),
            "matrix_requested": None if requested is None else _rounded(requested),
            "dropped_outside_classes": self.dropped_outside_classes,
            "fingerprint": self.fingerprint,
        }

    def describe(self) -> str:
        """The record in one line, for a log."""
        asked = "" if self.rate_requested is None else f"asked {self.rate_requested:.2%}, "
        rates = self.per_class_rates
        dropped = self.dropped_outside_classes
        outside = f"{dropped} samples dropped, labelled as other classes; " if dropped else ""
        return (
            f"noise {self.kind}: {asked}realised {self.rate_realised:.2%} "
            f"({int(self.is_noisy.sum())} of {len(self.label)} labels wrong, "
            f"{rates.min().item():.2%} to {rates.max().item():.2%} by class), "
            f"{outside}seed {self.seed}, fingerprint {self.fingerprint}"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record to ``path``, an .npz of plain arrays.

        The file is written under another name and then renamed: it is whole or it is not there.
        """
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
        if not source.is_file():
            raise InputError(
                f"noise record '{source}' is no file; write the noise.npz of an earlier run"
            )
        try:
            arrays = _read_npz(source)
        except Exception as error:  # damage can surface as any error, from zip's to zlib's
            raise InputError(
                f"noise record '{source}' cannot be read ({type(error).__name__}): it is damaged "
                "or no .npz of plain arrays; write the noise.npz of an earlier run"
            ) from error
        missing = [name for name in _REQUIRED if name not in arrays]
        if missing:
            raise InputError(
                f"noise record '{source}' holds {', '.join(arrays) or 'nothing'} and lacks "
                f"{', '.join(missing)}; write the noise.npz of an earlier run"
            )
        seed, rate = arrays.get("seed"), arrays.get("rate_requested")
        matrix, places = arrays.get("matrix_requested"), arrays.get("source_index")
        try:
            num_classes = int(arrays["num_classes"].item())
            clean, label = (
                check_labels(torch.from_numpy(arrays[name]), num_classes, name)
                for name in ("clean_label", "label")
            )
            return cls(
                kind=str(arrays["kind"].item()),
                seed=None if seed is None else int(seed.item()),
                rate_requested=None if rate is None else float(rate.item()),
                matrix_requested=None if matrix is None else torch.from_numpy(matrix),
                clean_label=clean,
                label=label,
                num_classes=num_classes,
                # Records of earlier versions have neither.
                dropped_outside_classes=int(arrays.get("dropped_outside_classes", np.array(0))),
                source_index=None if places is None else torch.from_numpy(places),
            )
        except (ValueError, TypeError) as error:  # InputError is a ValueError
            raise InputError(
                f"noise record '{source}' holds {', '.join(arrays)}, and not as a record does: "
                f"{error}; write the noise.npz of an earlier run"
            ) from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of the file; reading them all checks that none is damaged."""
    # Opened here, since numpy leaves a damaged file open.
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _rounded(values: Tensor) -> list[Any]:
    """Nested lists of numbers with six decimals."""
    return np.round(values.numpy().astype(np.float64), 6).tolist()
