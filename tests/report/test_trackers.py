"""Everything of a run arrives in every tracker, with each step once, and failures cost nothing."""

from __future__ import annotations

import csv
import json
import logging
import shutil
import socket
import subprocess
import sys
import time
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from labelnoise.config.composition import compose
from labelnoise.errors import InputError
from labelnoise.report.trackers.tracker import Tracker
from labelnoise.run_directory import RunDirectory
from labelnoise.training.train import train
from labelnoise.training.trainer import check_loggers
from tests.conftest import TINY, Kill, latest
from tests.report.tracked import (
    config,
    curves_of_csv,
    curves_of_mlflow,
    curves_of_tensorboard,
    history,
    hparams_page,
    mlflow_run,
    mlflow_runs,
    options_of,
    read_wandb,
    results,
)

ROOT = Path(__file__).parents[2]
ALL = "logger=[tensorboard,csv,wandb,mlflow]"


def run(top: Path, *words: str, name: str = "run") -> dict[str, Any]:
    cfg = compose(latest(*TINY, f"output_dir={top}", f"name={name}", *words))
    return train(cfg, top / name, words)


def test_the_csv_file_has_the_metrics_the_options_and_the_results(tmp_path: Path) -> None:
    summary = run(tmp_path, "logger=csv")
    assert curves_of_csv(tmp_path) == history(tmp_path)
    options = OmegaConf.to_container(OmegaConf.load(tmp_path / "run" / "csv" / "hparams.yaml"))
    assert options == config(tmp_path)
    with (tmp_path / "run" / "csv" / "summary.csv").open() as file:
        found = {row["name"]: float(row["value"]) for row in csv.DictReader(file)}
    assert found == pytest.approx(results(summary))


def test_a_resumed_run_writes_the_csv_file_anew(tmp_path: Path, killed_at: Kill) -> None:
    with killed_at(57):
        run(tmp_path, "logger=csv")
    assert len(curves_of_csv(tmp_path)) > 0
    run(tmp_path, "logger=csv")
    assert curves_of_csv(tmp_path) == history(tmp_path)


def test_the_csv_file_grows_while_the_run_trains(tmp_path: Path) -> None:
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        send = Tracker._send

        def watched(self: Tracker) -> None:
            send(self)
            file = tmp_path / "run" / "csv" / "metrics.csv"
            seen.append(len(file.read_text().splitlines()) if file.exists() else 0)

        patch.setattr(Tracker, "_send", watched)
        run(tmp_path, "logger=csv")
    assert seen == sorted(seen) and len(set(seen)) > 5


@pytest.mark.slow
def test_every_tracker_has_metrics_options_results_and_figures(tmp_path: Path) -> None:
    words = ("figures=true", "noise_rate=0.3", "technique=elr")
    summary = run(tmp_path, ALL, *words)
    quiet = run(tmp_path, *words, name="quiet")
    one, other = (tmp_path / name / "metrics.csv" for name in ("run", "quiet"))
    assert one.read_bytes() == other.read_bytes()  # a tracker draws no random number
    assert quiet["final"] == summary["final"]

    expected = history(tmp_path)
    assert len(expected) > 100
    options = config(tmp_path)
    label = "run noise_rate=0.3,technique=elr"

    offline = read_wandb(tmp_path / "run")
    assert offline["curves"] == expected
    assert offline["config"] == options
    assert {k: offline["summary"][k] for k in results(summary, "summary/")} == pytest.approx(
        results(summary, "summary/")
    )
    image = offline["folder"] / "files" / offline["summary"]["figures/two_stages/path"]
    assert image.read_bytes() == (tmp_path / "run" / "figures" / "two_stages.png").read_bytes()
    assert (offline["name"], offline["exit"]) == (label, 0)

    client, found = mlflow_run(tmp_path)
    curves = curves_of_mlflow(client, found)
    assert {k: v for k, v in curves.items() if not k[0].startswith("summary/")} == expected
    last = {name: v for name, v in found.data.metrics.items() if name.startswith("summary/")}
    assert last == pytest.approx(results(summary, "summary/"))
    assert found.data.params == {name: str(value) for name, value in options.items()}
    assert found.info.run_name == label and found.info.status == "FINISHED"
    files = {f.path for f in client.list_artifacts(found.info.run_id, "figures")}
    assert files == {"figures/two_stages.png"}
    stored = client.download_artifacts(found.info.run_id, "config.yaml", str(tmp_path))
    assert OmegaConf.load(stored) == OmegaConf.load(tmp_path / "run" / ".hydra" / "config.yaml")

    board = curves_of_tensorboard(tmp_path)
    assert {k: v for k, v in board.items() if not k[0].startswith("summary/")} == {
        k: pytest.approx(v, rel=1e-6) for k, v in expected.items()  # TensorBoard has float32
    }  # fmt: skip


@pytest.mark.slow
def test_a_killed_and_resumed_run_has_each_step_once(tmp_path: Path, killed_at: Kill) -> None:
    for step in (15, 57):  # before the first checkpoint, and between two
        with killed_at(step):
            run(tmp_path, ALL)
        time.sleep(1.1)  # TensorBoard files of one second are read in another order
    run(tmp_path, ALL)
    expected = history(tmp_path)
    client, found = mlflow_run(tmp_path)  # one run only
    for curves in (
        curves_of_csv(tmp_path),
        read_wandb(tmp_path / "run")["curves"],
        curves_of_mlflow(client, found),
    ):
        kept = {k: v for k, v in curves.items() if not k[0].startswith("summary/")}
        assert kept == expected
    board = curves_of_tensorboard(tmp_path)
    assert {k: len(v) for k, v in board.items()} == dict.fromkeys(board, 1)
    assert board.keys() >= expected.keys()


@pytest.mark.slow
def test_trackers_that_join_at_a_resume_get_the_steps_before_it(
    tmp_path: Path, killed_at: Kill
) -> None:
    with killed_at(57):
        run(tmp_path)
    run(tmp_path, "logger=[tensorboard,mlflow]")
    assert curves_of_tensorboard(tmp_path).keys() >= history(tmp_path).keys()
    curves = curves_of_mlflow(*mlflow_run(tmp_path))
    assert {k: v for k, v in curves.items() if not k[0].startswith("summary/")} == history(tmp_path)


@pytest.mark.parametrize("hook", ["_start", "_log", "_finish", "_close"])
def test_a_tracker_that_fails_costs_nothing(
    hook: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from labelnoise.report.trackers.csv_file import CsvFile

    calls = []

    def fail(*_: Any) -> None:
        calls.append(hook)
        raise RuntimeError("the server\nis gone")

    monkeypatch.setattr(CsvFile, hook, fail)
    with caplog.at_level(logging.WARNING, "labelnoise"):
        assert run(tmp_path, "logger=csv")["status"] == "finished"
    said = [r.getMessage() for r in caplog.records if "logger=csv failed" in r.getMessage()]
    assert len(said) == len(calls) == 1 and "(the server is gone)" in said[0]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelnoise.report.trackers.tracker.find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf'logger={name} .*pip install "labelnoise\[{name}\]"$'):
        check_loggers(compose([f"logger={name}"]))


def test_an_online_run_without_a_key_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"logger.wandb.mode=online needs a key.*WANDB_API_KEY"):
        check_loggers(compose(["logger=wandb", "logger.wandb.mode=online"]))
    with pytest.raises(InputError, match="logger.wandb.mode must be one of .*, got dryrun"):
        check_loggers(compose(["logger=wandb", "logger.wandb.mode=dryrun"]))


def test_a_server_that_does_not_answer_is_named_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # not listening, so a connection is refused
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(InputError, match=rf"logger.mlflow.tracking_uri={uri} cannot be reach"):
            check_loggers(compose(["logger=mlflow", f"logger.mlflow.tracking_uri={uri}"]))


@pytest.mark.slow
def test_a_store_that_cannot_be_opened_ends_the_others_and_is_named(tmp_path: Path) -> None:
    import wandb

    uri = f"sqlite:///{tmp_path / 'absent' / 'folder'}/x.db"
    (tmp_path / "absent").write_text("a file where MLflow wants a folder")
    with pytest.raises(InputError, match="logger=mlflow cannot be opened .*leave it out"):
        run(tmp_path, "logger=[wandb,mlflow]", f"logger.mlflow.tracking_uri={uri}")
    assert wandb.run is None
    assert not (tmp_path / "run").exists()  # the name is free again


def test_options_that_the_run_sets_are_refused() -> None:
    with pytest.raises(InputError, match=r"logger.csv.prefix is set by the run"):
        check_loggers(compose(["logger=csv", "+logger.csv.prefix=mine"]))


def test_a_run_of_another_package_is_not_changed_by_it(tmp_path: Path) -> None:
    """A logger without a class of its own gets metrics, options and results."""
    words = ("logger=none", "+logger.own._target_=tests.report.own_logger.Own")
    summary = run(tmp_path, *words)
    from tests.report.own_logger import RECEIVED

    assert RECEIVED["options"]["noise_rate"] == 0.2
    assert RECEIVED["status"] == "success"
    assert {k: v for k, v in RECEIVED["summary"].items()} == results(summary, "summary/")


def test_packages_of_the_extras_are_installed_here() -> None:
    assert all(util.find_spec(name) for name in ("wandb", "mlflow"))


@pytest.mark.slow
def test_hparams_show_every_option_and_number_of_every_run_of_a_sweep(tmp_path: Path) -> None:
    command = [
        sys.executable, "run.py", "-m", *TINY[:-1], f"output_dir={tmp_path}", "name=sweep",
        "seed=0,1", "noise_rate=0.2,0.3", "technique=none,elr",
    ]  # fmt: skip
    words = [word.replace("logger=none", "logger=[tensorboard,mlflow]") for word in command]
    subprocess.run(words, check=True, capture_output=True, cwd=ROOT)
    experiment, groups = hparams_page(tmp_path)
    assert len(groups) == 8
    shown = {info.name for info in experiment.hparam_infos}
    numbers = {info.name.tag for info in experiment.metric_infos}
    for number, group in enumerate(groups):
        run = RunDirectory(tmp_path / "sweep" / str(number))
        rate, technique = ("0.2", "0.3")[number // 2 % 2], ("none", "elr")[number % 2]
        told = f"seed={number // 4},noise_rate={rate},technique={technique}"
        assert group.name == f"sweep/{number} {told}"
        options = {k: v for k, v in options_of(run).items() if v is not None}
        assert options.keys() <= group.hparams.keys() <= shown
        for name, value in options.items():
            listed = f"[{','.join(map(str, value))}]" if isinstance(value, list) else value
            found = group.hparams[name]
            assert getattr(found, found.WhichOneof("kind")) == listed, name
        summary = results(json.loads(run.summary.read_text()), "summary/")
        values = {m.name.tag: m.value for m in group.metric_values}
        assert summary.keys() <= values.keys() <= numbers
        assert {name: values[name] for name in summary} == pytest.approx(summary, rel=1e-6)
    assert {"technique.elr.beta", "noise.rate", "optimizer.lr", "technique"} <= shown
    _, runs = mlflow_runs(tmp_path)  # several processes wrote to one database
    assert {found.info.run_name for found in runs} == {group.name for group in groups}
    assert {found.info.status for found in runs} == {"FINISHED"}


@pytest.mark.slow
def test_nothing_reaches_the_network(tmp_path: Path) -> None:
    """wandb and mlflow would report on their use, also from other processes."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    command = [
        "strace", "-f", "-e", "trace=connect,sendto", "-o", str(trace),
        sys.executable, "run.py", *TINY[:-1], ALL, f"output_dir={tmp_path}", "name=run",
    ]  # fmt: skip
    subprocess.run([w for w in command if w != "logger=none"], check=True, cwd=ROOT,
                   capture_output=True)  # fmt: skip
    assert (tmp_path / "run" / "summary.json").exists()
    calls = [
        line for line in trace.read_text().splitlines() if "sin_addr" in line or "sin6" in line
    ]
    assert not [line for line in calls if "127.0.0.1" not in line and '"::1"' not in line]


@pytest.mark.slow
def test_of_several_processes_only_the_first_logs(tmp_path: Path) -> None:
    summary = run(tmp_path, ALL, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2",
                  "batch_size=10")  # fmt: skip
    assert summary["status"] == "finished"
    expected = history(tmp_path)
    assert curves_of_csv(tmp_path) == expected
    assert read_wandb(tmp_path / "run")["curves"] == expected  # one folder
    curves = curves_of_mlflow(*mlflow_run(tmp_path))  # one run
    assert {k: v for k, v in curves.items() if not k[0].startswith("summary/")} == expected


def test_make_board_serves_this_machine_only() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    (served,) = [line for line in lines if "tensorboard.main" in line]
    assert "--host localhost" in served
