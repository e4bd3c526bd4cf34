from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelnoise.classifier import held_out_metrics, label_metrics, weighted_mean
from labelnoise.data.batch import Batch


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_label_metrics_equal_a_count_by_hand(n: int, num_classes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, num_classes, generator=generator)
    label = torch.randint(num_classes, (n,), generator=generator)
    clean = torch.randint(num_classes, (n,), generator=generator)

    counts = dict.fromkeys(("fit", "clean", "fit_clean", "noisy", "fit_noisy", "corrected"), 0)
    loss = 0.0
    for i in range(n):
        scores = logits[i].tolist()
        guess = scores.index(max(scores))
        kind = "clean" if label[i] == clean[i] else "noisy"
        counts[kind] += 1
        counts["fit"] += int(guess == label[i])
        counts[f"fit_{kind}"] += int(guess == label[i])
        counts["corrected"] += int(kind == "noisy" and guess == clean[i])
        loss -= scores[label[i]] - math.log(sum(math.exp(s) for s in scores))

    def share(part: str, whole: int) -> float:
        return counts[part] / whole if whole else math.nan

    expected = {
        "loss": loss / n,
        "acc": share("fit", n),
        "acc_clean": share("fit_clean", counts["clean"]),
        "acc_noisy": share("fit_noisy", counts["noisy"]),
        "memorized_fraction": share("fit_noisy", counts["noisy"]),
        "corrected_fraction": share("corrected", counts["noisy"]),
    }
    assert label_metrics(logits, label, clean) == pytest.approx(expected, abs=1e-5, nan_ok=True)


def test_samples_of_weight_zero_do_not_count() -> None:
    value = torch.tensor([1.0, 5.0, 3.0])
    assert weighted_mean(value, torch.tensor([1.0, 0.0, 1.0])) == 2.0
    assert weighted_mean(value, torch.zeros(3)) == 0.0


def test_held_out_accuracy_is_told_against_clean_and_against_noisy_labels() -> None:
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    batch = Batch(
        torch.zeros(4, 1), torch.tensor([1, 0, 1, 1]), torch.tensor([0, 0, 1, 0]), torch.arange(4)
    )
    assert held_out_metrics(logits, batch) == {"acc": 0.75, "acc_noisy_labels": 0.75}
