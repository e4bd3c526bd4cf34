from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch.nn import functional as F

from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.models import TwoLayerCNN
from labelnoise.noise import NoiseRecord
from labelnoise.run_directory import claim
from labelnoise.training.train import train
from tests.conftest import Kill, Run, but_slow, numpy_state


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_a_run_leaves_what_reports_rely_on(run_tiny: Run, tmp_path: Path) -> None:
    summary = run_tiny("logger=tensorboard", "figures=true")
    run = tmp_path / "run"
    assert json.loads((run / "summary.json").read_text()) == summary
    assert {path.name for path in run.iterdir()} == {
        ".hydra", ".lock", "checkpoints", "coefficients.npz", "figures", "manifest.json",
        "metrics.csv", "noise.npz", "run.log", "summary.json", "tensorboard",
    }  # fmt: skip
    assert summary.keys() >= {"status", "step", "seconds", "config_hash", "noise", "stages"}
    assert summary["stages"].keys() == {
        "clean_fit_step", "crossing_step", "memorized_step", "theory_t1", "dominance_lost_step",
    }  # fmt: skip
    # n m / (eta sigma_xi^2 d) = 20 * 4 / (0.05 * 60)
    assert summary["stages"]["theory_t1"] == pytest.approx(80 / 3)
    assert summary["final"].keys() >= {
        "train/loss", "train/acc", "train/acc_clean", "train/acc_noisy",
        "train/memorized_fraction", "train/corrected_fraction",
        "val/acc", "test/acc", "test/acc_noisy_labels",
    }  # fmt: skip
    assert summary["report_card"].keys() >= {
        "oracle_best", "last", "mean_last_10", "val_selected", "val_loss_selected",
        "val_acc_selected",
    }  # fmt: skip
    assert summary["report_card"]["oracle_best"]["oracle"] is True
    record = NoiseRecord.load(run / "noise.npz")
    assert summary["noise"]["fingerprint"] == record.fingerprint
    assert summary["noise"]["rate_realised"] == record.rate_realised == 0.2
    with np.load(run / "coefficients.npz", allow_pickle=False) as arrays:
        steps = len(arrays["steps"])
        assert arrays["gamma"].shape == (steps, 2, 4)
        assert arrays["rho_max"].shape == arrays["rho_sum"].shape == (steps, 2, 20)
    assert OmegaConf.load(run / ".hydra" / "config.yaml").noise_rate == 0.2
    assert "noise symmetric" in (run / "run.log").read_text()


def test_coefficients_keep_the_precision_of_the_data(run_tiny: Run, tmp_path: Path) -> None:
    for dtype in ("float32", "float64"):
        run_tiny(f"data.dtype={dtype}", "monitor=coefficients", "max_steps=20", name=dtype)
        with np.load(tmp_path / dtype / "coefficients.npz", allow_pickle=False) as arrays:
            assert {arrays[k].dtype for k in ("gamma", "rho_max", "rho_sum")} == {np.dtype(dtype)}


def test_the_same_seed_is_the_same_run(run_tiny: Run, tmp_path: Path) -> None:
    for name in ("one", "again"):
        run_tiny("batch_size=7", name=name)
    one, again = contents(tmp_path / "one"), contents(tmp_path / "again")
    for file in ("metrics.csv", "coefficients.npz", "noise.npz"):
        assert one[file] == again[file]
    other = run_tiny("batch_size=7", "seed=1", name="other")
    assert contents(tmp_path / "other")["metrics.csv"] != one["metrics.csv"]
    assert other["config_hash"] != json.loads(one["summary.json"])["config_hash"]


@pytest.mark.parametrize("dropout", but_slow(True, False))
@pytest.mark.parametrize("options", [(), ("batch_size=7", "optimizer.momentum=0.9")])
def test_a_killed_run_is_taken_to_the_same_end(
    run_tiny: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed_at: Kill,
    options: tuple[str, ...],
    dropout: bool,
) -> None:
    if dropout:  # draws from torch's global stream
        forward = TwoLayerCNN.forward
        monkeypatch.setattr(
            TwoLayerCNN,
            "forward",
            lambda self, x: F.dropout(forward(self, x), 0.5, training=self.training),
        )
    whole = run_tiny(*options, name="whole")
    with killed_at(57):
        run_tiny(*options)
    assert not (tmp_path / "run" / "summary.json").exists()
    assert "failed: killed" in (tmp_path / "run" / "run.log").read_text()

    served: list[int] = []
    original = NoisyLabelClassifier.training_step

    def counted(module: NoisyLabelClassifier, batch: Any, index: int) -> dict[str, torch.Tensor]:
        served.append(module.trainer.global_step)
        return original(module, batch, index)

    monkeypatch.setattr(NoisyLabelClassifier, "training_step", counted)
    resumed = run_tiny(*options)
    assert served == list(range(40, 60))  # from the checkpoint of step 40, not from the start
    assert resumed["final"] == whole["final"]
    assert resumed["report_card"] == whole["report_card"]
    for file in ("metrics.csv", "coefficients.npz", "noise.npz"):
        assert contents(tmp_path / "run")[file] == contents(tmp_path / "whole")[file]


def test_a_finished_run_is_read_not_run_again(run_tiny: Run, tmp_path: Path) -> None:
    summary = run_tiny()
    before = contents(tmp_path / "run")
    assert run_tiny() == summary
    after = contents(tmp_path / "run")
    del before["run.log"], after["run.log"]
    assert after == before


def test_another_runs_results_are_never_overwritten(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny()
    before = contents(tmp_path / "run")
    with pytest.raises(InputError, match=r"holds another run.*noise_rate: 0.3 instead of 0.2"):
        run_tiny("noise_rate=0.3")
    assert contents(tmp_path / "run") == before


def test_a_directory_that_holds_something_else_is_left_alone(run_tiny: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is not empty and holds no run"):
        run_tiny()
    assert (tmp_path / "run" / "thesis.tex").read_text() == "years of work"


def test_two_processes_cannot_write_to_one_directory(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    holder = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
    cfg = tiny_config()
    (tmp_path / "run").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "run" / ".lock")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="another process is writing to"):
            train(cfg, tmp_path / "run")
        process.kill()  # the lock of a killed process is free again
    with claim(tmp_path / "other", cfg, []):
        pass


def test_resume_names_the_directory_alone(
    run_tiny: Run, tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    summary = run_tiny()
    resume = f"resume={tmp_path / 'run'}"
    assert train(tiny_config(resume), tmp_path / "new", [resume]) == summary
    assert not (tmp_path / "new").exists()
    with pytest.raises(InputError, match="leave out seed=3"):
        train(tiny_config(resume), tmp_path / "new", [resume, "seed=3"])
    with pytest.raises(InputError, match="holds no run"):
        train(tiny_config(f"resume={tmp_path}"), tmp_path / "new", [f"resume={tmp_path}"])


def test_a_run_leaves_no_global_state_behind(run_tiny: Run) -> None:
    states = torch.get_rng_state(), numpy_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    run_tiny()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (numpy_state() == states[1]).all()
    assert torch.are_deterministic_algorithms_enabled() == deterministic


def test_without_label_noise_there_is_one_stage(run_tiny: Run) -> None:
    summary = run_tiny("noise_rate=0", "max_steps=200")
    assert summary["stages"]["crossing_step"] is None
    assert summary["stages"]["memorized_step"] is None
    assert summary["final"]["train/acc_noisy"] is None
    assert summary["noise"]["rate_realised"] == 0


def test_a_killed_early_stop_by_validation_loss_is_taken_to_the_same_end(
    run_tiny: Run, killed_at: Kill
) -> None:
    """Checkpoints and validations fall on the same steps, as they do by default."""
    options = ["technique=early_stop", "technique.early_stop.trigger=val_loss", "max_steps=200"]
    options += ["technique.early_stop.patience=2", "optimizer.lr=0.5"]
    whole = run_tiny(*options, name="whole")
    for step in (45, 55):
        with killed_at(step):
            run_tiny(*options)
    resumed = run_tiny(*options)
    for key in ("final", "techniques", "report_card", "stages", "step"):
        assert resumed[key] == whole[key]


def test_a_late_failure_loses_nothing(
    run_tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device", "summary.json")

    with monkeypatch.context() as patch:
        patch.setattr("labelnoise.training.train.write_summary", full)
        with pytest.raises(OSError, match="No space left"):
            run_tiny()
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file()
    assert run_tiny()["status"] == "finished"


def test_a_run_may_be_shorter_than_every_interval(run_tiny: Run) -> None:
    assert run_tiny("max_steps=5")["step"] == 5


def test_checkpoints_are_kept_on_a_schedule(
    run_images: Run, tmp_path: Path, killed_at: Kill
) -> None:
    """Two of five epochs of six steps, also where the run was killed between them."""
    options = ("keep_checkpoint_every_n_epochs=2", "max_epochs=5", "monitor=none")
    with killed_at(20):
        run_images(*options)
    run_images(*options)
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("step_*"))
    assert kept == ["step_000012.ckpt", "step_000024.ckpt"]
    state = torch.load(tmp_path / "run" / "checkpoints" / kept[0], weights_only=True)
    assert "model.weight" in state["state_dict"] and "optimizer_states" not in state


def test_a_run_that_diverges_says_so_once(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny("optimizer.lr=3e38", "monitor=memorization")
    log = (tmp_path / "run" / "run.log").read_text()
    assert log.count("not finite from step") == 1


@pytest.mark.parametrize(
    "options", [("optimizer.lr=3e38",), ("optimizer.lr=3e38", "technique=early_stop")]
)
def test_a_run_on_images_that_diverges_comes_to_its_end(
    run_images: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    summary = run_images("max_epochs=12", *options)
    assert summary["status"] == "finished" and summary["final"]["train/loss"] is None
    assert "not finite from step" in (tmp_path / "run" / "run.log").read_text()


@pytest.mark.slow
def test_a_run_killed_while_it_reports_is_taken_to_its_end(
    run_images: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import labelnoise.training.train as training

    def fail(*args: Any) -> None:
        raise RuntimeError("killed")

    whole = run_images("figures=true", name="whole")
    with monkeypatch.context() as patch:
        patch.setattr(training, "write_figures", fail)
        with pytest.raises(RuntimeError, match="killed"):
            run_images("figures=true")
    again = run_images("figures=true")
    assert again["suspects"] == whole["suspects"] and again["final"] == whole["final"]
    for file in ("metrics.csv", "dynamics/margin.npy", "dynamics/step.npy"):
        ours, theirs = (tmp_path / name / file for name in ("run", "whole"))
        assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("data", ["images", "signal_noise"])
def test_what_a_run_prints_at_its_end(
    run_images: Run, run_tiny: Run, capsys: pytest.CaptureFixture[str], data: str
) -> None:
    run = run_images if data == "images" else run_tiny
    run("trainer.enable_progress_bar=true")
    shown = capsys.readouterr().out
    for words in ("finished at step", "mean_last_10", "evaluations", "points below", "oracle"):
        assert words in shown
    assert ("labels probably wrong" in shown) is (data == "images")


def test_accumulated_batches_are_one_step_of_an_epoch(run_images: Run) -> None:
    """Six batches an epoch, four at a time: two steps."""
    summary = run_images("trainer.accumulate_grad_batches=4", "max_epochs=3")
    assert summary["step"] == 6 and summary["report_card"]["last"]["epoch"] == 3
    selected = run_images(
        "trainer.accumulate_grad_batches=4",
        "technique=sample_selection",
        "technique.sample_selection.warmup_epochs=2",
        name="selected",
    )
    assert selected["selection"]["first"]["step"] == 4


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("monitor.dynamics.every_n_steps=1.5", "every_n_steps must be a whole number"),
        ("monitor.dynamics.extra_pass=3", "extra_pass must be true or false, got 3"),
        ("model.sigma_0=small", "model.sigma_0 must be a number"),
        ("trainer.accumulate_grad_batches=0", "accumulate_grad_batches must be a whole number of"),
        ("+trainer.limit_train_batches=0", "limit_train_batches must be a number above 0"),
    ],
)
def test_values_of_another_type_are_refused(run_images: Run, option: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_images(option)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_monitors_follow_the_precision(run_images: Run, precision: str) -> None:
    watch = "monitor=[memorization,dynamics,gradients]"
    assert run_images(watch, f"trainer.precision={precision}")["status"] == "finished"
