from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from labelnoise.dynamics.log import DynamicsLog
from labelnoise.dynamics.measurements import Measurements, as_kept, measure
from labelnoise.dynamics.ranking import auc
from labelnoise.dynamics.scores import SCORES, RunningScores
from labelnoise.errors import InputError


def rows(n: int, count: int, classes: int = 3, seed: int = 0) -> list[Measurements]:
    rng = np.random.default_rng(seed)
    return [
        as_kept(
            Measurements(
                rng.exponential(size=n),
                rng.uniform(size=n),
                rng.normal(size=n),
                rng.integers(0, classes, n),
            )
        )
        for _ in range(count)
    ]


def test_measurements_follow_from_the_softmax() -> None:
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    label = torch.arange(50) % 4
    measured = measure(logits, label)
    z = logits.double().numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    own = p[np.arange(50), label]
    np.testing.assert_allclose(measured.loss, -np.log(own), rtol=1e-5)
    np.testing.assert_allclose(measured.probability, own, rtol=1e-5)
    for i in range(50):
        others = np.delete(z[i], label[i])
        assert measured.margin[i].item() == pytest.approx(z[i, label[i]] - others.max(), rel=1e-5)
    assert measured.prediction.tolist() == z.argmax(1).tolist()


def test_what_is_too_large_for_its_type_is_kept_as_its_largest_number() -> None:
    kept = as_kept(measure(torch.tensor([[1e6, 0.0]]), torch.tensor([1])))
    assert kept.margin.dtype == np.float16 and kept.margin[0] == -65504
    assert kept.loss[0] == pytest.approx(1e6)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40))
@settings(max_examples=60)
def test_auc_is_scikit_learns(samples: list[tuple[int, bool]]) -> None:
    score = np.array([float(s) for s, _ in samples])
    noisy = np.array([b for _, b in samples])
    if noisy.all() or not noisy.any():
        assert np.isnan(auc(score, noisy))
    else:
        assert auc(score, noisy) == pytest.approx(roc_auc_score(noisy, score))


def test_scores_of_a_history_written_out_by_hand() -> None:
    """Sample 0: right, wrong, right, wrong. Sample 1: never right. Sample 2: always right."""
    label = np.array([0, 0, 2])
    predictions = np.array([[0, 1, 2], [1, 1, 2], [0, 2, 2], [2, 2, 2]])
    margins = np.array([[1.0, -2, 3], [-1, -2, 3], [1, -2, 3], [-3, -2, 3]])
    p = np.array([[0.5, 0.25, 1], [0.25, 0.25, 1], [0.5, 0.25, 1], [0.25, 0.25, 1]])
    scores = RunningScores(label)
    changed = []
    for row in range(4):
        scores.update(Measurements(1 - p[row], p[row], margins[row], predictions[row]))
        changed.append(scores.changed)
    assert changed == [0, 1, 2, 1]
    found = {name: values.tolist() for name, values in scores.scores().items()}
    assert tuple(found) == SCORES
    assert found["loss"] == [0.75, 0.75, 0.0]
    terms = np.log1p(np.exp(-margins))
    assert found["margin_loss"] == pytest.approx(terms.mean(0))
    assert found["aum"] == [0.5, 2.0, -3.0]
    assert found["wrong_events"] == [2, 4, 0]
    assert found["forgetting_events"] == [2, 4, 0]  # never right counts as every epoch
    assert found["low_confidence"] == [0.625, 0.75, 0.0]
    assert found["variability"] == [0.125, 0.0, 0.0]
    assert found["prediction_changes"] == [3, 1, 0]


def test_a_log_gives_back_what_was_written_and_is_cut_to_it(tmp_path: Path) -> None:
    written = rows(5, 3)
    log = DynamicsLog.open(tmp_path / "dynamics", n=5, rows=10, kept_until=-1)
    for step, row in zip((4, 8, 12), written, strict=True):
        log.append(step, row)
    log.close()
    back = DynamicsLog(tmp_path / "dynamics")
    assert back.step.tolist() == [4, 8, 12]
    assert np.load(tmp_path / "dynamics" / "margin.npy", allow_pickle=False).shape == (3, 5)
    for row, expected in zip(back, written, strict=True):
        for name, values in expected._asdict().items():
            np.testing.assert_array_equal(getattr(row, name), values)
    np.testing.assert_array_equal(back[-1].loss, written[-1].loss)
    with pytest.raises(IndexError):
        back[3]


def test_a_row_without_its_step_was_never_written(tmp_path: Path) -> None:
    log = DynamicsLog.open(tmp_path, n=4, rows=5, kept_until=-1)
    first, second = rows(4, 2)
    log.append(1, first)
    log.arrays["loss"][1] = second.loss  # killed here, before its step
    log.arrays["loss"].flush()
    assert len(DynamicsLog(tmp_path)) == 1


def test_a_resumed_run_forgets_the_rows_after_its_checkpoint(tmp_path: Path) -> None:
    log = DynamicsLog.open(tmp_path, n=4, rows=5, kept_until=-1)
    for step, row in zip((2, 4, 6), rows(4, 3), strict=True):
        kept = dict(log.checksums)  # at the end: before the last row
        log.append(step, row)
    log.release()
    again = DynamicsLog.open(tmp_path, n=4, rows=5, kept_until=4, checksums=kept)
    assert again.step.tolist() == [2, 4, -1, -1, -1]
    assert again.checksums == kept
    again.arrays["margin"][1, 2] += 1
    again.arrays["margin"].flush()
    again.release()
    with pytest.raises(InputError, match="margin.npy is damaged: its rows differ from"):
        DynamicsLog.open(tmp_path, n=4, rows=5, kept_until=4, checksums=kept)


def test_a_log_that_was_closed_goes_on(tmp_path: Path) -> None:
    """A run killed while it reports has cut its log, and is resumed from before its last rows."""
    first, second, third = rows(4, 3)
    log = DynamicsLog.open(tmp_path, n=4, rows=5, kept_until=-1)
    for step, row in ((2, first), (4, second)):
        log.append(step, row)
    log.close()
    again = DynamicsLog.open(tmp_path, n=4, rows=5, kept_until=2)
    assert again.step.tolist() == [2, -1, -1, -1, -1]
    again.append(4, third)
    again.close()
    back = DynamicsLog(tmp_path)
    np.testing.assert_array_equal(back[0].loss, first.loss)
    np.testing.assert_array_equal(back[1].loss, third.loss)


@pytest.mark.parametrize("uncut", [("step",), ("loss", "margin"), ("prediction",)])
def test_a_log_that_was_closed_by_halves_goes_on(tmp_path: Path, uncut: tuple[str, ...]) -> None:
    """A full disk ends the cutting of the files between two of them."""
    first, second, third = rows(4, 3)
    log = DynamicsLog.open(tmp_path, n=4, rows=5, kept_until=-1)
    for step, row in ((2, first), (4, second)):
        log.append(step, row)
    whole = {name: np.load(tmp_path / f"{name}.npy") for name in uncut}
    log.close()
    for name, array in whole.items():
        np.save(tmp_path / f"{name}.npy", array)
    again = DynamicsLog.open(tmp_path, n=4, rows=5, kept_until=4)
    again.append(6, third)
    again.close()
    back = DynamicsLog(tmp_path)
    assert back.step.tolist() == [2, 4, 6]
    for row, expected in zip(back, (first, second, third), strict=True):
        np.testing.assert_array_equal(row.loss, expected.loss)


def test_two_runs_do_not_write_to_one_log(tmp_path: Path) -> None:
    log = DynamicsLog.open(tmp_path, n=4, rows=5, kept_until=-1)
    with pytest.raises(InputError, match="another run is writing its dynamics"):
        DynamicsLog.open(tmp_path, n=4, rows=5, kept_until=-1)
    log.append(1, rows(4, 1)[0])
    log.close()
    with pytest.raises(InputError, match="dynamics of 4 samples but this run has 7"):
        DynamicsLog.open(tmp_path, n=7, rows=5, kept_until=3)


def test_no_log_and_a_damaged_one_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="no readable per-sample log, because .*step.npy is missing"
    ):
        DynamicsLog(tmp_path / "none")
    DynamicsLog.open(tmp_path, n=4, rows=5, kept_until=-1).close()
    (tmp_path / "margin.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match=r"because .*margin\.npy is damaged"):
        DynamicsLog(tmp_path)
    (tmp_path / "margin.npy").unlink()
    with pytest.raises(InputError, match=r"because .*margin\.npy is missing"):
        DynamicsLog(tmp_path)
