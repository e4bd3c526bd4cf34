"""The simulated person of docs/make_audit.py, and its reliability curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from docs.make_audit import baseline, curve, review
from labelnoise.audit.scores import Verdict
from labelnoise.data.corrections import correct
from labelnoise.files.tables import write_columns

CLASSES = ["cat", "dog", "owl"]
# By name; the order of suspicion is d, a, c, b.
GIVEN = {"a": "cat", "b": "dog", "c": "owl", "d": "cat"}
TRUE = {"a": "cat", "b": "owl", "c": "dog", "d": "owl"}


@pytest.mark.parametrize(
    ("decision", "first", "labels", "kept"),
    [("change", 3, [0, 1, 1, 2], "abcd"), ("drop", 2, [0, 1, 2, 0], "bc")],
)
def test_the_first_suspects_get_the_decisions_of_a_person_who_knows_the_truth(
    tmp_path: Path, decision: str, first: int, labels: list[int], kept: str
) -> None:
    write_columns(
        tmp_path / "suspects.csv",
        {
            "sample": list("dacb"),
            "given_label": [GIVEN[name] for name in "dacb"],
            "true_label": [TRUE[name] for name in "dacb"],
        },
    )
    file = tmp_path / "corrections.csv"
    review(tmp_path, first, decision, file)
    label = torch.tensor([CLASSES.index(GIVEN[name]) for name in "abcd"])
    made = correct([file], list("abcd"), label, CLASSES)
    assert made.label.tolist() == labels
    assert "".join(n for n, k in zip("abcd", made.kept.tolist(), strict=True) if k) == kept


def test_the_curve_has_the_means_of_ten_groups_of_equal_size() -> None:
    rng = np.random.default_rng(0)
    wrong, noisy = rng.random(100), rng.random(100) < 0.5
    verdict = Verdict(wrong, np.zeros(100, int), np.argsort(-wrong), np.eye(2), 1.0)
    order = np.argsort(wrong)
    estimate, share = curve(verdict, noisy)
    for g in range(10):
        members = order[10 * g : 10 * g + 10]
        assert estimate[g] == pytest.approx(wrong[members].mean())
        assert share[g] == pytest.approx(noisy[members].mean())


def test_the_row_of_the_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_columns(
        tmp_path / "suspects.csv",
        {
            "given_label": ["a", "a", "b", "b"],
            "true_label": ["b", "a", "a", "b"],
            "margin_loss": np.array([4.0, 3.0, 2.0, 1.0]),
            "baseline": np.array([0.9, 0.1, 0.8, 0.2]),
        },
    )
    (tmp_path / "audit.json").write_text('{"baseline": {"out_of_fold_accuracy": 0.5}}')
    baseline([tmp_path])
    cells = capsys.readouterr().out.split("|")[2:-1]
    assert [float(c) for c in cells] == [1, 0.833, 1, 0.5, 0.5, 0.5, 0.5]
