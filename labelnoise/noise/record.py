"""The record of the given labels of a run: the requested noise and the realised labels."""

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
from labelnoise.files.writing import write_arrays
from labelnoise.noise.checks import check_labels
from labelnoise.noise.matrices import transition_matrix
from labelnoise.noise.truth import TRUTHS, Truth, known

# The truth of the records of earlier versions, which have no ``truth``; all other kinds are "made".
# The truth of "csv" is unknown, because these versions took the folder names for the true labels.
_OLDER: dict[str, Truth] = {"human": "given", "csv": "unknown"}
# The arrays of a record; a record of unknown truth has no clean_label.
_REQUIRED = ("kind", "num_classes", "clean_label", "label")


@dataclass(frozen=True, eq=False)
class NoiseRecord:
    """The given labels of a split, the true labels if they are known, and the source of both.

    ``truth`` names the source of the labels:

    =======  =====================================================================================
    made     the run drew the given labels from labels that count as true
    given    the given labels are from a file, and the true labels are known
    unknown  the given labels are from a file, and the true labels are unknown: ``clean_label`` and
             everything that depends on it is None, and ``is_noisy`` raises
    =======  =====================================================================================

    Attributes:
        kind: the name of the noise, as in ``noise=symmetric``.
        seed: the seed of the draw.
        rate_requested: the requested noise rate; None if there is no single rate.
        matrix_requested: (K, K) float64, the transition matrix from which the labels were drawn;
            None if there is none.
        clean_label: (n,) int64, the true labels; None if they are unknown.
        label: (n,) int64, the given labels.
        num_classes: K.
        dropped_outside_classes: number of training samples that were dropped because their label in
            the file is not a class of the data.
        source_index: (n,) int64, positions of the samples in the published data set; None if no
            samples were dropped.
        truth: "made", "given" or "unknown".

    Raises:
        InputError: labels out of range, unequal lengths, or a ``clean_label`` that contradicts
            ``truth``.

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

    @classmethod
    def of_file(
        cls, kind: str, label: Tensor, clean_label: Tensor | None, num_classes: int
    ) -> NoiseRecord:
        """The record of labels from a file; ``clean_label`` is None if the truth is unknown."""
        truth: Truth = "unknown" if clean_label is None else "given"
        return cls(kind, None, None, None, clean_label, label, num_classes, truth=truth)

    def __post_init__(self) -> None:
        check_word("truth", self.truth, TRUTHS)
        if (self.clean_label is None) != (self.truth == "unknown"):
            must = "must have a" if self.clean_label is None else "must not have a"
            raise InputError(f"a record of truth {self.truth!r} {must} clean_label")
        for name in ("clean_label", "label"):
            if getattr(self, name) is not None:
                checked = check_labels(getattr(self, name), self.num_classes, name)
                object.__setattr__(self, name, checked)
        if self.clean_label is not None and len(self.label) != len(self.clean_label):
            raise InputError(
                f"{len(self.label)} labels for {len(self.clean_label)} clean labels; "
                "give one for each sample"
            )
        if self.source_index is not None and len(self.source_index) != len(self.label):
            raise InputError(
                f"{len(self.source_index)} positions in source_index for {len(self.label)} labels; "
                "give one for each sample"
            )

    @property
    def truth_known(self) -> bool:
        """Whether the true labels are known."""
        return self.clean_label is not None

    @property
    def is_noisy(self) -> Bool[Tensor, " n"]:
        """Whether the given label differs from the true label; raises UnknownTruth if unknown."""
        return self.label != known(self.clean_label)

    @property
    def rate_realised(self) -> float | None:
        """The share of wrong labels (0 for no samples); None if the true labels are unknown."""
        if not self.truth_known:
            return None
        return self.is_noisy.double().mean().item() if len(self.label) else 0.0

    @property
    def transition_matrix(self) -> Float[Tensor, "K K"] | None:
        """The realised :func:`transition_matrix`; None if the true labels are unknown."""
        if self.clean_label is None:
            return None
        return transition_matrix(self.clean_label, self.label, self.num_classes)

    @property
    def per_class_rates(self) -> Float[Tensor, " K"] | None:
        """The share of wrong labels in each true class, float64; None if the truth is unknown."""
        matrix = self.transition_matrix
        return None if matrix is None else 1 - matrix.diagonal()

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the SHA-256 over K, clean_label (if known) and label."""
        digest = hashlib.sha256()
        for part in (torch.tensor([self.num_classes]), self.clean_label, self.label):
            if part is not None:
                digest.update(part.numpy().astype("<i8").tobytes())
        return digest.hexdigest()[:16]

    def without_truth(self) -> NoiseRecord:
        """The record of the same given labels, without true labels, seed, rate and matrix."""
        return replace(
            self,
            seed=None,
            rate_requested=None,
            matrix_requested=None,
            clean_label=None,
            truth="unknown",
        )

    def summary(self) -> dict[str, Any]:
        """The record without its labels, in plain types for JSON; unknown values are None."""
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
        outside = f"{dropped} samples dropped for labels outside the classes; " if dropped else ""
        rates, rate = self.per_class_rates, self.rate_realised
        if rates is None or rate is None:
            return (
                f"{len(self.label)} labels as given, the true labels are unknown; "
                f"{outside}fingerprint {self.fingerprint}"
            )
        asked = "" if self.rate_requested is None else f"requested {self.rate_requested:.2%}, "
        return (
            f"noise {self.kind}: {asked}realised {rate:.2%} "
            f"({int(self.is_noisy.sum())} of {len(self.label)} labels wrong, "
            f"{rates.min().item():.2%} to {rates.max().item():.2%} by class), "
            f"{outside}seed {self.seed}, fingerprint {self.fingerprint}"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record to ``path`` as an .npz of plain arrays, completely or not at all."""
        # None would become an object array, which needs pickle.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        write_arrays(Path(path), {k: v for k, v in values.items() if v is not None})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> NoiseRecord:
        """Read a record that ``save`` wrote.

        Raises:
            InputError: a file that is missing, damaged, or not a record.
        """
        source = Path(path).expanduser()
        arrays = _read_arrays(source)
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
                # Records of earlier versions may lack the next three values.
                dropped_outside_classes=int(arrays.get("dropped_outside_classes", np.array(0))),
                source_index=None if places is None else torch.from_numpy(places),
                truth=truth,
            )
        except (ValueError, TypeError) as error:  # InputError is a ValueError
            raise InputError(
                f"noise record '{source}' has the arrays {', '.join(arrays)}, but they are not a "
                f"noise record: {error}; give the noise.npz of an earlier run"
            ) from error


def _rounded(values: Tensor | None) -> list[Any] | None:
    """Nested lists of numbers with six decimals; None for None."""
    if values is None:
        return None
    rows: list[Any] = np.round(values.numpy().astype(np.float64), 6).tolist()
    return rows


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of a file, which may be damaged or of another kind."""
    if not path.is_file():
        raise InputError(
            f"noise record '{path}' is not a file; give the noise.npz of an earlier run"
        )
    try:
        # Opened here, because numpy does not close a damaged file.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
            arrays = dict(found)
    except Exception as error:  # a damaged file can raise any error
        raise InputError(
            f"noise record '{path}' cannot be read ({type(error).__name__}): it is damaged "
            "or not an .npz of plain arrays; give the noise.npz of an earlier run"
        ) from error
    unknown = "truth" in arrays and str(arrays["truth"]) == "unknown"
    missing = [
        name for name in _REQUIRED if name not in arrays and not (unknown and name == "clean_label")
    ]
    if missing:
        raise InputError(
            f"noise record '{path}' has {', '.join(arrays) or 'nothing'} and lacks "
            f"{', '.join(missing)}; give the noise.npz of an earlier run"
        )
    return arrays
