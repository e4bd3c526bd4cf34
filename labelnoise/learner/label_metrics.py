"""Agreement of predictions with the given labels and, if known, with the true labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from labelnoise.data.batch import Split

# The metrics that separate clean and noisy samples.
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
    """Agreement of predictions with the given and the true labels.

    If the true labels are unknown, only loss and acc are returned.

    Returns, each in [0, 1] except the loss; NaN for a share of no samples:
        loss: mean cross-entropy with the given labels.
        acc, acc_clean, acc_noisy: share of all samples, of the clean samples and of the noisy
            samples that is predicted as the *given* label.
        memorized_fraction: share of the noisy samples that is predicted as the given, wrong label;
            equal to ``acc_noisy``, under the name in the literature.
        corrected_fraction: share of the noisy samples that is predicted as the true label. With two
            classes it is 1 - memorized_fraction.
        clean_correct, clean_incorrect: share of *all* samples that is clean and predicted as its
            label, and as another class.
        wrong_corrected, wrong_memorized, wrong_incorrect: share of *all* samples that is noisy and
            predicted as the true label, as the given label, and as a third class. The five shares
            sum to 1.

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
    """:func:`label_metrics` of a split, with the true labels if they are known."""
    return label_metrics(logits, split.label, split.clean_label_if_known)


def measure_val(logits: Float[Tensor, "n K"], split: Split) -> dict[str, float]:
    """Cross-entropy and accuracy against the given labels, which techniques may read."""
    return _against(logits, split.label)


def measure_test(logits: Float[Tensor, "n K"], split: Split) -> dict[str, float]:
    """Cross-entropy and accuracy against the clean labels, and accuracy against the given labels.

    If the true labels are unknown: cross-entropy and accuracy against the given labels.
    """
    if not split.truth_known:
        return _against(logits, split.label)
    return {
        **_against(logits, split.clean_label),
        "acc_noisy_labels": _accuracy(logits, split.label),
    }


# The function that measures each split.
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
