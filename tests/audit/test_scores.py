"""The probability of a wrong label, and the ranking of labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from labelnoise.audit.evidence import Evidence
from labelnoise.audit.scores import (
    deconvolve,
    fit_temperature,
    judge,
    sharpen,
    transition_from_confident,
)
from labelnoise.audit.write import calibration_error, findings

MATRIX = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]])


def audited(n: int, sharpness: float, seed: int = 0) -> Evidence:
    """Labels flipped by MATRIX, and exact predictions of the given label."""
    rng = np.random.default_rng(seed)
    logits = sharpness * rng.standard_normal((n, 3))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    clean = np.array([rng.choice(3, p=row) for row in true])
    label = np.array([rng.choice(3, p=MATRIX[k]) for k in clean])
    given = true @ MATRIX
    return Evidence(
        name=np.arange(n).astype(str),
        source_index=np.arange(n),
        label=label,
        class_names=np.array(["a", "b", "c"]),
        fold=np.full(n, -1),
        probability=given,
        suspicion=-np.log(given[np.arange(n), label]),
        clean_label=clean,
    )


def test_bayes_rule_with_the_exact_prediction_and_matrix_gives_the_exact_probability() -> None:
    rng = np.random.default_rng(1)
    true = rng.dirichlet(np.ones(3), 50)
    found = deconvolve(true @ MATRIX, MATRIX)
    np.testing.assert_allclose(found @ MATRIX, true @ MATRIX, atol=5e-3)
    np.testing.assert_allclose(found.sum(1), 1)


def test_the_estimates_agree_with_the_law_of_the_labels() -> None:
    evidence = audited(6000, sharpness=6.0)
    verdict = judge(evidence)
    noisy = evidence.label != evidence.clean_label
    np.testing.assert_allclose(verdict.transition_matrix, MATRIX, atol=0.08)
    np.testing.assert_allclose(verdict.transition_matrix.sum(1), 1)
    assert verdict.noise_rate == pytest.approx(noisy.mean(), abs=0.03)
    assert calibration_error(verdict.wrong, noisy) < 0.06
    assert verdict.temperature == pytest.approx(1, abs=0.1)
    suggested = verdict.suggested[noisy] == evidence.clean_label[noisy]  # type: ignore[index]
    assert suggested.mean() > 0.8 and (verdict.suggested != evidence.label).all()


def test_the_matrix_of_few_samples_shows_as_much_noise_as_the_labels_have() -> None:
    """The counts of confident predictions, plus one each, would give about three times as much."""
    evidence = audited(200, sharpness=6.0)
    verdict = judge(evidence)
    true = np.bincount(evidence.clean_label, minlength=3)  # type: ignore[arg-type]
    kept = float((true * verdict.transition_matrix.diagonal()).sum() / true.sum())
    assert 1 - kept == pytest.approx(verdict.noise_rate, abs=0.03)


def test_the_order_of_the_list_is_the_order_of_the_probabilities() -> None:
    verdict = judge(audited(300, sharpness=2.0))
    assert (np.diff(verdict.wrong[verdict.order]) <= 0).all()
    assert sorted(verdict.order) == list(range(300))


def test_the_temperature_undoes_a_sharpening() -> None:
    evidence = audited(4000, sharpness=2.0)
    sharp = sharpen(evidence.probability, 0.5)
    assert fit_temperature(sharp, evidence.label) == pytest.approx(2, rel=0.1)
    np.testing.assert_allclose(sharpen(sharp, 2.0), evidence.probability, atol=1e-3)


def test_a_class_that_is_never_predicted_counts_as_clean() -> None:
    probability = np.array([[0.9, 0.1, 0.0]] * 5)
    matrix = transition_from_confident(probability, np.array([0, 0, 1, 2, 0]))
    assert matrix.tolist() == [[0.5, 0.25, 0.25], [0, 1, 0], [0, 0, 1]]


def test_a_label_that_no_confident_prediction_has_can_still_be_wrong() -> None:
    """Class 0 is predicted with certainty; only its least confident sample has the label 2."""
    probability = np.array([[0.98, 0.01, 0.01]] * 40 + [[0.01, 0.98, 0.01]] * 40)
    probability = np.concatenate([probability, [[0.9, 0.05, 0.05]]])
    label = np.array([0] * 40 + [1] * 40 + [2])
    evidence = Evidence(
        name=np.arange(81).astype(str),
        source_index=np.arange(81),
        label=label,
        class_names=np.array(["a", "b", "c"]),
        fold=np.full(81, -1),
        probability=probability,
        suspicion=-np.log(probability[np.arange(81), label]),
    )
    verdict = judge(evidence)
    assert verdict.order[0] == 80 and verdict.suggested[80] == 0
    assert verdict.wrong[80] > 0.5 > verdict.wrong[:80].max()


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_the_mean_precision_down_to_each_wrong_label(seed: int) -> None:
    evidence = audited(30, sharpness=3.0, seed=seed)
    evidence.suspicion[:10] = 0.5  # ties follow the order of the list
    verdict = judge(evidence)
    noisy = (evidence.label != evidence.clean_label)[verdict.order].tolist()
    down_to = [sum(noisy[: i + 1]) / (i + 1) for i, wrong in enumerate(noisy) if wrong]
    found = findings(evidence, verdict)["truth"]["average_precision"]
    assert found == pytest.approx(sum(down_to) / len(down_to))


def test_the_findings_count_every_label_once() -> None:
    evidence = audited(500, sharpness=3.0)
    verdict = judge(evidence)
    found = findings(evidence, verdict)
    by_class = found["by_class"].values()
    assert sum(row["samples"] for row in by_class) == found["samples"] == 500
    mean = sum(row["samples"] * row["wrong"] for row in by_class) / 500
    assert mean == pytest.approx(found["noise_rate"])
    pairs = sum(pair["labels"] for pair in found["confused"])
    assert pairs == pytest.approx(500 * found["noise_rate"])
    assert all(pair["given"] != pair["suggested"] for pair in found["confused"])
    noisy = evidence.label != evidence.clean_label
    expected = average_precision_score(noisy, evidence.suspicion)
    assert found["truth"]["average_precision"] == pytest.approx(expected, abs=2e-3)
