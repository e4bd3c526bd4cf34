from __future__ import annotations

import csv
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labelnoise.dynamics.measurements import measure
from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.report.loaded import load_run
from labelnoise.report.tables.suspects import report_suspects, write_suspects
from tests.conftest import Finished, Kill, Run, but_slow


def arrays(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "dynamics").glob("*.npy"))}


def test_rows_hold_the_logits_that_were_trained_on(
    run_images: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, torch.Tensor]] = []
    original = NoisyLabelClassifier.training_step

    def training_step(module: NoisyLabelClassifier, batch: Any, index: int) -> Any:
        with torch.no_grad():
            seen.append((batch, module.model(batch.input)))
        return original(module, batch, index)

    monkeypatch.setattr(NoisyLabelClassifier, "training_step", training_step)
    run_images()
    dynamics = load_run(tmp_path / "run").dynamics()
    assert dynamics.log.step.tolist() == [6, 12, 18, 24]
    for epoch in range(4):
        row = dynamics.log[epoch]
        for batch, logits in seen[6 * epoch : 6 * epoch + 6]:
            expected = measure(logits, batch.label)
            index = batch.index.numpy()
            np.testing.assert_allclose(row.loss[index], expected.loss, rtol=1e-6)
            np.testing.assert_allclose(row.margin[index], expected.margin, rtol=2e-3, atol=1e-3)
            np.testing.assert_array_equal(row.prediction[index], expected.prediction)


def test_an_extra_pass_measures_all_samples_at_the_weights_of_the_step(
    run_images: Run, tmp_path: Path
) -> None:
    summary = run_images("monitor.dynamics.extra_pass=true")
    run = load_run(tmp_path / "run")
    last = run.dynamics().log[-1]
    fits = np.equal(last.prediction, run.dynamics().label)
    assert fits.mean() == pytest.approx(summary["final"]["train/acc"])
    assert last.loss.mean() == pytest.approx(summary["final"]["train/loss"], rel=1e-5)


def test_logged_scores_are_those_of_the_rows_so_far(finished_images: Finished) -> None:
    from sklearn.metrics import roc_auc_score

    run = load_run(finished_images())
    dynamics = run.dynamics()
    margin = np.array(dynamics.log.arrays["margin"], dtype=float)
    for epoch, step in enumerate([6, 12, 18, 24], start=1):
        expected = roc_auc_score(dynamics.is_noisy, -margin[:epoch].mean(0))
        assert run.history.at("dynamics/auc_aum", step) == pytest.approx(expected)
    prediction = np.array(dynamics.log.arrays["prediction"])
    changes = (prediction[1:] != prediction[:-1]).sum(1)
    assert run.history.series("dynamics/prediction_changes")[1].tolist() == changes.tolist()


@pytest.mark.parametrize("step", but_slow(14, 3, 18))
def test_a_killed_run_ends_with_the_same_rows(
    run_images: Run, tmp_path: Path, killed_at: Kill, step: int
) -> None:
    """Checkpoints lie at steps 5, 10, 15, 20: in the middle of epochs of 6 steps."""
    watch = "monitor=[memorization,dynamics,gradients]"
    run_images(watch, name="whole")
    with killed_at(step):
        run_images(watch, name="killed")
    run_images(watch, name="killed")
    assert arrays(tmp_path / "killed") == arrays(tmp_path / "whole")
    for file in ("metrics.csv", "suspects.csv", "gradients.npz"):
        whole, killed = (tmp_path / name / file for name in ("whole", "killed"))
        assert killed.read_bytes() == whole.read_bytes(), file


@pytest.mark.parametrize("extra", ["false", "true"])
def test_watching_samples_and_gradients_changes_nothing(
    run_images: Run, finished_images: Finished, tmp_path: Path, extra: str
) -> None:
    run_images(
        "monitor=[memorization,dynamics,gradients]",
        f"monitor.dynamics.extra_pass={extra}",
        "monitor.gradients.every_n_steps=1",
    )
    states = [
        torch.load(path / "checkpoints" / "selected.ckpt", weights_only=True)
        for path in (tmp_path / "run", finished_images("monitor=none"))
    ]
    for name, value in states[0]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][name])


def test_suspects_are_ranked_and_named_by_their_files(
    run_images: Run, tmp_path: Path, image_root: Path
) -> None:
    summary = run_images("data.val_fraction=0")
    with (tmp_path / "run" / "suspects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["rank"]) for row in rows] == list(range(1, 61))
    assert all((image_root / row["sample"]).is_file() for row in rows)
    marked = [row["probably_wrong"] == "1" for row in rows]
    assert marked == sorted(marked, reverse=True)
    assert summary["suspects"]["probably_wrong"] == sum(marked)
    assert summary["suspects"]["listed"] == 60 and summary["suspects"]["auc"]["aum"] > 0.9
    for group in (True, False):
        scores = [float(r["margin_loss"]) for r, m in zip(rows, marked, strict=True) if m is group]
        assert scores == sorted(scores, reverse=True)
    # The folder is the truth here: the true label is the file's, the given one another for some.
    assert all(row["sample"].split("/")[1] == row["true_label"] for row in rows)
    wrong = [row["given_label"] != row["true_label"] for row in rows]
    assert sum(wrong[:12]) >= 10  # 12 labels are wrong, and brightness tells the classes apart


def test_suspects_are_suggested_by_the_epochs_before_memorization_and_ranked_by_all(
    run_images: Run, tmp_path: Path
) -> None:
    summary = run_images("max_epochs=8", "optimizer.lr=1.0", "data.val_fraction=0.3")
    run = load_run(tmp_path / "run")
    steps, loss = run.history.series("val/loss")
    best = int(steps[loss.argmin()])
    log = run.dynamics().log
    kept = max(3, int((log.step <= best).sum()))
    assert kept < len(log), "the test wants a validation loss that turns"
    assert summary["suspects"]["until_step"] == log.step[kept - 1]
    margin = np.array(log.arrays["margin"], dtype=float)
    with (tmp_path / "run" / "suspects.csv").open() as file:
        listed = {row["sample"]: row for row in csv.DictReader(file)}
    classes = run.dynamics().class_names
    for i, name in enumerate(run.dynamics().name):
        terms = [math.log1p(math.exp(-value)) for value in margin[:, i]]
        found = float(listed[name]["margin_loss"])
        assert found == pytest.approx(sum(terms) / len(terms), rel=1e-4, abs=1e-6)
        votes = Counter(log.arrays["prediction"][:kept, i].tolist())
        assert votes[list(classes).index(listed[name]["suggested_label"])] == max(votes.values())


def test_nothing_is_said_of_truth_where_it_is_not_known(run_images: Run, tmp_path: Path) -> None:
    run_images("noise=none")
    run = load_run(tmp_path / "run")
    with (tmp_path / "run" / "suspects.csv").open() as file:
        assert "true_label" not in file.readline()
    assert not any("auc" in name for name in run.history.names)


def test_suspects_by_another_score(finished_images: Finished, tmp_path: Path) -> None:
    directory = finished_images()
    path = write_suspects(load_run(directory).directory, "loss", tmp_path / "by_loss.csv")
    with path.open() as file:
        losses = [float(r["loss"]) for r in csv.DictReader(file) if r["probably_wrong"] == "1"]
    assert losses == sorted(losses, reverse=True)
    listed = report_suspects(directory, "loss", top=2).splitlines()
    assert len(listed) == 3 and "->" in listed[1] and "ranked by loss" in listed[0]
    with pytest.raises(InputError, match="top must be a whole number of at least 0"):
        report_suspects(directory, top=-1)
    with pytest.raises(InputError, match="score must be one of loss, margin_loss"):
        write_suspects(load_run(directory).directory, "margin")


def test_an_epoch_that_leaves_samples_out_is_no_row(run_images: Run, tmp_path: Path) -> None:
    summary = run_images("+trainer.limit_train_batches=3")
    assert summary["suspects"] is None
    assert "samples were not in this epoch" in (tmp_path / "run" / "run.log").read_text()


def test_signal_noise_data_are_measured_at_an_interval(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny("monitor=[coefficients,memorization,dynamics]")
    dynamics = load_run(tmp_path / "run").dynamics()
    assert dynamics.log.step.tolist() == [0, 1, 2, 4, 8, 10, 20, 30, 40, 50, 60]
