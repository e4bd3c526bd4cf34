"""Quality of a selection, measured with the true labels."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labelnoise.dynamics.ranking import auc


def selection_metrics(
    kept: Bool[Tensor, " n"], score: Float[Tensor, " n"], is_noisy: Bool[Tensor, " n"] | None
) -> dict[str, float | None]:
    """Precision, recall, F1 and AUC of a selection.

    Args:
        kept: mask of the kept samples.
        score: the score of the rule (higher is more suspicious), or the loss if it has no score.
        is_noisy: mask of the noisy samples; None if the true labels are unknown.

    Returns, each in [0, 1]; NaN if undefined, None if the true labels are unknown:
        precision: share of the kept samples that are clean.
        recall: share of the clean samples that are kept.
        f1: harmonic mean of precision and recall.
        auc: area under the ROC curve of the score as a detector of noisy samples.

    Example:
        >>> kept = torch.tensor([True, True, True, False])
        >>> metrics = selection_metrics(
        ...     kept, torch.tensor([0.1, 0.2, 0.3, 2.0]), torch.tensor([False, False, True, True])
        ... )
        >>> round(metrics["precision"], 3), metrics["recall"], metrics["auc"]
        (0.667, 1.0, 1.0)
    """
    if is_noisy is None:
        return dict.fromkeys(("precision", "recall", "f1", "auc"))
    right = int((kept & ~is_noisy).sum())
    precision, recall = _share(right, int(kept.sum())), _share(right, int((~is_noisy).sum()))
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if right else 0.0,
        "auc": auc(score.cpu().numpy(), is_noisy.cpu().numpy()),
    }


def class_metrics(
    kept: Bool[Tensor, " n"],
    label: Int[Tensor, " n"],
    is_noisy: Bool[Tensor, " n"] | None,
    classes: int,
) -> dict[str, list[float] | None]:
    """``kept``, ``precision`` and ``recall`` of the samples of each given label.

    Returns:
        Three lists with a number for each class; NaN if a share is undefined. ``precision`` and
        ``recall`` are None if the true labels are unknown.

    Example:
        >>> kept = torch.tensor([True, True, False, True])
        >>> noisy = torch.tensor([False, True, False, False])
        >>> class_metrics(kept, torch.tensor([0, 0, 0, 1]), noisy, 2)
        {'kept': [2, 1], 'precision': [0.5, 1.0], 'recall': [0.5, 1.0]}
    """

    def counts(chosen: Bool[Tensor, " n"]) -> list[int]:
        found: list[int] = torch.bincount(label[chosen], minlength=classes).tolist()
        return found

    n_kept = counts(kept)
    if is_noisy is None:
        return {"kept": [*n_kept], "precision": None, "recall": None}
    right, clean = counts(kept & ~is_noisy), counts(~is_noisy)
    return {
        "kept": [*n_kept],
        "precision": [_share(*pair) for pair in zip(right, n_kept, strict=True)],
        "recall": [_share(*pair) for pair in zip(right, clean, strict=True)],
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
