"""Runs of two processes on the CPU against runs of one process with twice the batch size."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from labelnoise.errors import InputError
from labelnoise.learner.history import History
from labelnoise.training.train import train
from tests.conftest import TINY, Run, latest

ROOT = Path(__file__).resolve().parents[2]
DDP = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
STEPS = ("max_steps=20", *(f"{what}_every_n_steps=5" for what in ("log", "eval", "checkpoint")))
WEIGHTED = "+technique.weighted._target_=tests.parts.UnequalWeights"
FAILING = "+technique.failing._target_=tests.parts.FailAt"

pytestmark = pytest.mark.slow


def assert_equal_runs(ours: Path, theirs: Path, tolerance: float = 1e-5) -> None:
    a, b = (History.read_csv(run / "metrics.csv") for run in (ours, theirs))
    assert a.rows.keys() == b.rows.keys() and a.names == b.names
    for step, row in a.rows.items():
        assert row == pytest.approx(b.rows[step], abs=tolerance, nan_ok=True), step
    with np.load(ours / "coefficients.npz") as x, np.load(theirs / "coefficients.npz") as y:
        assert x.files == y.files
        for name in x.files:
            np.testing.assert_allclose(x[name], y[name], atol=tolerance, err_msg=name)
    for name in ("last", "selected"):
        x, y = (
            torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
            for run in (ours, theirs)
        )
        torch.testing.assert_close(x["sample_weight"], y["sample_weight"], atol=0, rtol=0)
        torch.testing.assert_close(x["state_dict"], y["state_dict"], atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("batch_size=6",), ("batch_size=3",)),  # 6, 6, 6 and 2 of 20 samples
        (("batch_size=6", "data.n=19"), ("batch_size=3", "data.n=19")),  # none left for rank 1
        (("data.n=19",), ("data.n=19",)),  # all samples at every step
    ],
)
def test_two_processes_train_as_one_with_twice_the_batch_size(
    run_tiny: Run, tmp_path: Path, one: tuple[str, ...], two: tuple[str, ...]
) -> None:
    options = (*STEPS, WEIGHTED, "optimizer.lr=0.5", "optimizer.momentum=0.9")
    alone = run_tiny(*options, *one, name="one")
    both = run_tiny(*options, *two, *DDP, name="two")
    assert both["step"] == 20 and both["stages"] == alone["stages"]
    for key, value in alone["final"].items():
        assert both["final"][key] == pytest.approx(value, abs=1e-5), key
    ours, theirs = (summary["techniques"]["weighted"] for summary in (both, alone))
    assert ours["indices"] == theirs["indices"]
    for x, y in zip(ours["losses"], theirs["losses"], strict=True):
        assert x == pytest.approx(y, abs=1e-5)
    assert_equal_runs(tmp_path / "two", tmp_path / "one")
    assert {path.name for path in (tmp_path / "two").iterdir()} == {
        path.name for path in (tmp_path / "one").iterdir()
    }


def test_early_stop_and_selection_act_at_the_same_steps_on_the_same_samples(
    run_tiny: Run, tmp_path: Path
) -> None:
    options = ["technique=[early_stop,sample_selection]", "technique.early_stop.trigger=val_loss"]
    options += ["technique.early_stop.patience=2", "optimizer.lr=0.5", "max_steps=400"]
    options += ["technique.sample_selection.start_step=8", "eval_every_n_steps=5"]
    options += ["checkpoint_every_n_steps=5"]
    alone = run_tiny(*options, "batch_size=6", name="one")
    both = run_tiny(*options, "batch_size=3", *DDP, name="two")
    assert both["status"] == alone["status"] == "stopped_early"
    assert 8 < both["step"] == alone["step"] < 400
    for name in ("early_stop", "sample_selection"):
        assert both["techniques"][name] == alone["techniques"][name]
    assert_equal_runs(tmp_path / "two", tmp_path / "one")


def test_all_processes_reset_at_the_same_steps_to_the_same_network(
    run_tiny: Run, tmp_path: Path
) -> None:
    options = ["technique=stochastic_reset", "technique.stochastic_reset.activation=threshold"]
    options += ["technique.stochastic_reset.threshold=10", "technique.stochastic_reset.r=0.2"]
    options += ["optimizer.momentum=0.9", "optimizer.lr=0.5", "eval_every_n_steps=5"]
    alone = run_tiny(*options, "batch_size=6", name="one")
    both = run_tiny(*options, "batch_size=3", *DDP, name="two")
    ours, theirs = (run["techniques"]["stochastic_reset"] for run in (both, alone))
    assert ours.pop("distance") == pytest.approx(theirs.pop("distance"), abs=1e-4)
    assert ours == theirs and ours["resets"] > 0
    assert_equal_runs(tmp_path / "two", tmp_path / "one", tolerance=1e-4)


@pytest.mark.parametrize("rule", ["dynamic_threshold", "aum", "wrong_events"])
def test_rules_that_look_back_record_alike_on_two_processes(
    run_tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    """4 batches a pass; the checkpoint of step 10, in the middle of one, holds part of a row."""
    select = "technique.sample_selection"
    options = ["technique=sample_selection", f"{select}.rule={rule}", f"{select}.percentile=50"]
    options += [f"{select}.start_step=12", "optimizer.lr=0.5", *STEPS]
    alone = run_tiny(*options, "batch_size=6", name="one")
    processes = (*options, FAILING, "batch_size=3", *DDP)
    with monkeypatch.context() as patch:
        patch.setenv("LABELNOISE_TEST_STEP", "11")
        patch.setenv("LABELNOISE_TEST_RANK", "1")
        with pytest.raises(RuntimeError, match="rank 1 failed"):
            run_tiny(*processes, name="two")
    both = run_tiny(*processes, name="two")
    assert "resuming from" in (tmp_path / "two" / "run.log").read_text()
    assert both["selection"] == alone["selection"] and both["selection"]["first"]["step"] == 12
    assert_equal_runs(tmp_path / "two", tmp_path / "one")


def test_a_run_of_which_one_process_fails_is_taken_to_the_same_end(
    run_tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*DDP, FAILING, "batch_size=3", "model._target_=tests.parts.DroppedOut")
    whole = run_tiny(*options, name="whole")
    with monkeypatch.context() as patch:
        patch.setenv("LABELNOISE_TEST_STEP", "57")
        patch.setenv("LABELNOISE_TEST_RANK", "1")
        with pytest.raises(RuntimeError, match=r"rank 1 failed:(.|\n)*killed"):
            run_tiny(*options)
    assert not (tmp_path / "run" / "summary.json").exists()
    resumed = run_tiny(*options)
    assert "resuming from" in (tmp_path / "run" / "run.log").read_text()
    assert resumed["final"] == whole["final"]
    for file in ("metrics.csv", "coefficients.npz", "noise.npz"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_all_processes_hold_one_network_also_with_batch_norm(run_tiny: Run) -> None:
    watch = "+technique.watch._target_=tests.parts.Watch"
    norm = ("model._target_=tests.parts.Normalised", "monitor=memorization")
    summary = run_tiny(*STEPS, *DDP, watch, *norm, "batch_size=4", "data.n=18")
    assert summary["techniques"]["watch"]["spread"] == [0.0] * 20


def test_what_the_processes_refuse_is_one_line_and_leaves_the_name_free(
    run_tiny: Run, tmp_path: Path
) -> None:
    wrong = ("technique=early_stop", "technique.early_stop.trigger=val_loss", "data.n_val=0")
    with pytest.raises(InputError, match="reads val_loss, but there are no validation samples"):
        run_tiny(*wrong, *DDP)
    assert not (tmp_path / "run").exists()


def test_the_directory_is_taken_while_the_processes_train(
    run_tiny: Run, tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    seen: list[str] = []

    def intrude() -> None:
        while not (tmp_path / "run" / ".hydra" / "config.yaml").is_file():
            time.sleep(0.01)
        try:
            train(tiny_config(*STEPS, *DDP), tmp_path / "run")
        except InputError as error:
            seen.append(str(error))

    thread = threading.Thread(target=intrude)
    thread.start()
    summary = run_tiny(*STEPS, *DDP)
    thread.join()
    assert summary["status"] == "finished"
    assert len(seen) == 1 and "another process is writing to" in seen[0]


# Tests that are started in the background ignore Ctrl-C, and so do their child processes.
def run_py(place: Path, *words: str, flags: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "run.py", *flags, *latest(*TINY, *DDP, f"output_dir={place}", *words)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def test_a_sweep_trains_every_job_on_its_own_values(tmp_path: Path) -> None:
    process = run_py(tmp_path, "name=sweep", "noise_rate=0.2,0.4", flags=("-m",))
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    rows = (tmp_path / "sweep" / "sweep.csv").read_text()
    assert "noise_rate" in rows and ",0.2," in rows and ",0.4," in rows
    for job, rate in ((0, "20.00"), (1, "40.00")):
        assert f"requested {rate}%" in (tmp_path / "sweep" / str(job) / "run.log").read_text()


@pytest.mark.parametrize("end", ["terminate", "kill", "interrupt"])
def test_no_process_outlives_the_one_that_was_started(tmp_path: Path, end: str) -> None:
    process = run_py(tmp_path, "name=run", "max_steps=100000")
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    while not checkpoint.is_file() and process.poll() is None:
        time.sleep(0.05)
    if end == "interrupt":
        process.send_signal(2)
    else:
        getattr(process, end)()
    # Ends when the last of the processes that hold the other end has ended.
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == {"terminate": 143, "kill": -9, "interrupt": 130}[end]
    if end != "kill":
        assert f"python run.py resume={tmp_path / 'run'}" in stderr and "Traceback" not in stderr


def test_a_network_trained_on_two_processes_is_read_by_one(run_tiny: Run, tmp_path: Path) -> None:
    summary: dict[str, Any] = run_tiny(*STEPS, *DDP)
    assert run_tiny(f"resume={tmp_path / 'run'}", name="again") == summary


def test_samples_and_gradients_are_watched_alike_by_two_processes(
    run_images: Run, tmp_path: Path
) -> None:
    """54 samples in batches of 10: the last one has 4, and every sample is kept once."""
    watch = ("monitor=[memorization,dynamics,gradients]", "max_epochs=3")
    run_images(*watch, name="one")
    run_images(*watch, "batch_size=5", *DDP, name="two")
    a, b = (History.read_csv(tmp_path / name / "metrics.csv") for name in ("one", "two"))
    assert a.rows.keys() == b.rows.keys() and a.names == b.names
    for step, row in a.rows.items():
        assert row == pytest.approx(b.rows[step], abs=1e-4, rel=1e-4, nan_ok=True), step
    for name in ("loss", "probability", "margin", "prediction", "step"):
        one, two = (
            np.load(tmp_path / run / "dynamics" / f"{name}.npy", allow_pickle=False).astype(float)
            for run in ("one", "two")
        )
        # Rounding of two halves, and one unit of half precision for values in half precision.
        tolerance = 2e-3 if name in ("probability", "margin") else 1e-5
        np.testing.assert_allclose(one, two, atol=tolerance, rtol=tolerance, err_msg=name)
    assert (tmp_path / "one" / "suspects.csv").is_file()


def test_two_processes_resume_in_the_middle_of_an_epoch_with_the_same_rows(
    run_images: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = ("monitor=[memorization,dynamics,gradients]", "batch_size=5", FAILING, *DDP)
    run_images(*watch, name="whole")
    with monkeypatch.context() as patch:
        patch.setenv("LABELNOISE_TEST_STEP", "17")  # the checkpoint before is of step 15
        patch.setenv("LABELNOISE_TEST_RANK", "0")
        with pytest.raises(RuntimeError, match="failed"):
            run_images(*watch)
    run_images(*watch)
    files = ["metrics.csv", "suspects.csv", "gradients.npz"]
    files += [f"dynamics/{name}.npy" for name in ("loss", "margin", "prediction", "step")]
    for file in files:
        whole, killed = (tmp_path / name / file for name in ("whole", "run"))
        assert killed.read_bytes() == whole.read_bytes(), file


def test_two_processes_resume_with_one_batch_an_epoch(
    run_images: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """54 samples, 27 in each process: the epochs end at steps 1 to 4."""
    options = ("batch_size=27", "monitor=memorization", FAILING, *DDP)
    whole = run_images(*options, name="whole")
    for rank, step in enumerate(("2", "3")):
        with monkeypatch.context() as patch:
            patch.setenv("LABELNOISE_TEST_STEP", step)
            patch.setenv("LABELNOISE_TEST_RANK", str(rank))
            with pytest.raises(RuntimeError, match="failed"):
                run_images(*options)
    resumed = run_images(*options)
    assert resumed["step"] == whole["step"] == 4 and resumed["final"] == whole["final"]
    a, b = ((tmp_path / name / "metrics.csv").read_bytes() for name in ("run", "whole"))
    assert a == b


def test_a_signal_saves_a_run_of_two_processes(tmp_path: Path) -> None:
    words = ("max_steps=400", "checkpoint_every_n_steps=100000", "log_every_n_steps=100")
    whole = run_py(tmp_path, "name=whole", *words)
    _, stderr = whole.communicate()
    assert whole.returncode == 0, stderr
    cut = run_py(tmp_path, "name=cut", *words)
    log, checkpoint = tmp_path / "cut" / "run.log", tmp_path / "cut" / "checkpoints" / "last.ckpt"
    while not (log.is_file() and "noise symmetric" in log.read_text()) and cut.poll() is None:
        time.sleep(0.05)
    time.sleep(1)
    cut.terminate()
    _, stderr = cut.communicate(timeout=60)
    assert cut.returncode == 143 and "interrupted at step" in stderr
    assert checkpoint.is_file()
    again = run_py(tmp_path, "name=cut", *words)
    _, stderr = again.communicate()
    assert again.returncode == 0 and "resuming from" in stderr
    for file in ("metrics.csv", "coefficients.npz"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


@pytest.mark.parametrize("technique", ["co_teaching", "jocor"])
def test_two_networks_choose_alike_from_the_whole_batch(
    run_tiny: Run, tmp_path: Path, technique: str
) -> None:
    """19 samples in batches of 6 leave one for the last batch, and none for rank 1."""
    options = (*STEPS, f"technique={technique}", "noise_rate=0.4", "data.n=19", "optimizer.lr=0.5")
    alone = run_tiny(*options, "batch_size=6", name="one")
    both = run_tiny(*options, "batch_size=3", *DDP, name="two")
    assert both["step"] == alone["step"] == 20
    assert both["techniques"] == alone["techniques"]
    assert both["techniques"][technique]["keep_share"] < 1
    assert both["final"]["test/acc_second"] == alone["final"]["test/acc_second"]
    assert_equal_runs(tmp_path / "two", tmp_path / "one")
