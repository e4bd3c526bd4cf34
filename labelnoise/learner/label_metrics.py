"""How predictions agree with given labels and, where these are known, with true ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.data.batch import Split

# The metrics that tell clean from noisy samples.
BY_TRUTH = (
    "acc_clean",
    "acc_noisy",
    "memorized_fraction",
    "corrected_fraction",
    "clean_correct",
    "clean_incorrect",
    "wrong_corrected",
    "wrong_memorized",
    "wrong_incorrect",
)


def label_metrics(
    logits: Float[Tensor, "n K"],
    label: Int[Tensor, " n"],
    clean_label: Int[Tensor, " n"] | None,
) -> dict[str, float]:
    """How predictions agree with the given and with the true labels.

    Without true labels the loss and acc alone, which are those of the given ones.

    Returns, each in [0, 1] but the loss, NaN where the samples concerned do not exist:
        loss: mean cross-entropy with the given labels.
        acc, acc_clean, acc_noisy: share predicted as the *given* label, of all samples, of those
            whose given label is the true one, and of those whose given label is wrong.
        memorized_fraction: share of the noisy samples predicted as the given (wrong) label; the
            same number as ``acc_noisy`` under the name the literature uses for it.
        corrected_fraction: share of the noisy samples predicted as the true label. With two
            classes the two fractions add up to 1; with more, a prediction can be neither.
        clean_correct, clean_incorrect, wrong_corrected, wrong_memorized, wrong_incorrect: shares of
            *all* samples, which add up to 1: of those with a right label, predicted as it and not;
            of those with a wrong label, predicted as the true label, as the wrong one, and as
            neither.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
        >>> metrics = label_metrics(logits, torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
        >>> metrics["acc_clean"], metrics["acc_noisy"], metrics["corrected_fraction"]
        (1.0, 0.0, 1.0)
    """
    prediction = logits.argmax(1)
    fits = prediction == label
    loss, n = F.cross_entropy(logits, label).item(), len(label)
    if clean_label is None:
        return {"loss": loss, "acc": _share(int(fits.sum()), n)}
    noisy = label != clean_label
    corrected = (prediction == clean_label) & noisy
    counts = torch.stack([fits.sum(), (fits & noisy).sum(), noisy.sum(), corrected.sum()])
    fitted, fitted_noisy, n_noisy, n_corrected = counts.tolist()
    memorized = _share(fitted_noisy, n_noisy)
    return {
        "loss": loss,
        "acc": _share(fitted, n),
        "acc_clean": _share(fitted - fitted_noisy, n - n_noisy),
        "acc_noisy": memorized,
        "memorized_fraction": memorized,
        "corrected_fraction": _share(n_corrected, n_noisy),
        "clean_correct": _share(fitted - fitted_noisy, n),
        "clean_incorrect": _share(n - n_noisy - (fitted - fitted_noisy), n),
        "wrong_corrected": _share(n_corrected, n),
        "wrong_memorized": _share(fitted_noisy, n),
        "wrong_incorrect": _share(n_noisy - n_corrected - fitted_noisy, n),
    }


def measure_train(logits: Float[Tensor, "n K"], split: Split) -> dict[str, float]:
    """:func:`label_metrics` of a split, against the true labels where they are known."""
    return label_metrics(logits, split.label, split.clean_label_if_known)


def measure_val(logits: Float[Tensor, "n K"], split: Split) -> dict[str, float]:
    """Cross-entropy and accuracy against the given labels: all that a technique may read."""
    return _against(logits, split.label)


def measure_test(logits: Float[Tensor, "n K"], split: Split) -> dict[str, float]:
    """Cross-entropy and accuracy against clean test labels, and accuracy against noisy ones.

    Where the true labels are not known, cross-entropy and accuracy against the given ones alone.
    """
    if not split.truth_known:
        return _against(logits, split.label)
    return {
        **_against(logits, split.clean_label),
        "acc_noisy_labels": _accuracy(logits, split.label),
    }


# How each split is measured; the only functions that compute a metric of whole splits.
SPLIT_METRICS: dict[str, Callable[[Tensor, Split], dict[str, float]]] = {
    "train": measure_train,
    "val": measure_val,
    "test": measure_test,
}


def _against(logits: Float[Tensor, "n K"], label: Int[Tensor, " n"]) -> dict[str, float]:
    return {
        "loss": F.cross_entropy(logits, label).item(),
        "acc": _accuracy(logits, label),
    }


def _accuracy(logits: Float[Tensor, "n K"], label: Int[Tensor, " n"]) -> float:
    return (logits.argmax(1) == label).double().mean().item()


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
