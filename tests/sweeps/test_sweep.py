"""Sweeps through the command, in processes of their own."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from labelnoise.config.composition import config_hash
from labelnoise.errors import InputError
from labelnoise.learner.history import History
from labelnoise.report.loaded import LoadedRun
from labelnoise.report.tables.sweep import COLUMNS, mean_and_range, over_seeds, sweep_rows
from labelnoise.run_directory import RunDirectory, claim
from labelnoise.sweeps import jobs
from labelnoise.sweeps.jobs import job_folder, train_in_sweep, wait_for_others
from labelnoise.sweeps.ledger import append, job_event, ledger_of
from labelnoise.sweeps.report import sweep_reported
from tests.conftest import TINY, latest
from tests.parts import resolved

ROOT = Path(__file__).resolve().parents[2]


def run_py(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "run.py", *latest(*words, *TINY)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def rows(sweep: Path) -> list[dict[str, str]]:
    with (sweep / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_sweep_survives_a_job_that_fails_and_can_be_run_again(tmp_path: Path) -> None:
    sweep = ("-m", "noise_rate=0.1,0.7,0.2", f"output_dir={tmp_path}", "name=sweep")
    done = run_py(*sweep)
    assert done.returncode == 1
    assert done.stderr.endswith("error: 1 job of the sweep did not finish\n")
    assert "1  failed  noise_rate=0.7  noise rate 0.7 is not below 1/2" in done.stderr
    assert "Traceback" not in done.stderr
    assert "mean [min, max] over seeds" in done.stdout
    assert [row["noise_rate"] for row in rows(tmp_path / "sweep")] == ["0.1", "0.2"]
    assert not (tmp_path / "sweep" / "1").exists()

    before = (tmp_path / "sweep" / "0" / "metrics.csv").stat().st_mtime_ns
    again = run_py("-m", "noise_rate=0.1,0.3,0.2", f"output_dir={tmp_path}", "name=sweep")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "sweep" / "0" / "metrics.csv").stat().st_mtime_ns == before
    assert [row["noise_rate"] for row in rows(tmp_path / "sweep")] == ["0.1", "0.3", "0.2"]


@pytest.mark.slow
def test_techniques_and_seeds_sweep(tmp_path: Path) -> None:
    words = ("-m", "seed=0,1", "technique=none,early_stop,[early_stop,sample_selection]")
    done = run_py(*words, f"output_dir={tmp_path}", "name=sweep")
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "sweep")) == 6
    assert "early_stop" in done.stdout and "technique" in done.stdout


@pytest.mark.slow
def test_the_two_stages_experiment_draws_the_papers_figure(tmp_path: Path) -> None:
    done = run_py("experiment=two_stages", f"output_dir={tmp_path}", "name=figure")
    assert done.returncode == 0, done.stderr
    assert [row["noise_rate"] for row in rows(tmp_path / "figure")] == ["0.2", "0.0"]
    assert (tmp_path / "figure" / "figures" / "two_stages.png").stat().st_size > 20_000


def run(error: float, *words: str) -> LoadedRun:
    summary = {"final": {"test/acc": 1 - error}, "step": 10}
    return LoadedRun(RunDirectory(Path("0")), summary, History(), resolved(*words))


def test_runs_are_put_together_over_seeds() -> None:
    table = over_seeds(
        [
            run(0.1, "noise_rate=0.2", "seed=0", "data.n=9"),
            run(0.3, "noise_rate=0.2", "seed=1", "data.n=9"),
            run(0.5, "noise_rate=0.4", "seed=0", "data.n=9"),
        ]
    )
    assert table == {
        "noise_rate=0.2": {"runs": "2", "last step": "10", "test error": "0.2 [0.1, 0.3]"},
        "noise_rate=0.4": {"runs": "1", "last step": "10", "test error": "0.5"},
    }


def test_a_row_has_the_settings_in_which_runs_differ_and_those_alone() -> None:
    """With people's labels there is no noise_rate, whatever was typed."""
    words = ("noise.path=x", "noise_rate=0.3", "name=mine", "data.n=30")
    made = [run(0.1, "noise=symmetric", f"noise_rate={r}", "data.n=30") for r in (0.1, 0.2)]
    rows = sweep_rows([*made, run(0.1, "noise=human", "seed=3", *words), run(0.1, "noise=none")])
    settings = [{k: v for k, v in row.items() if k not in (*COLUMNS, "run")} for row in rows]
    assert settings == [
        {"noise": "symmetric", "noise_rate": 0.1, "seed": 0},
        {"noise": "symmetric", "noise_rate": 0.2, "seed": 0},
        {"noise": "human", "seed": 3},
        {"noise": "none", "seed": 0},
    ]


def test_mean_and_range_leave_out_what_is_missing() -> None:
    assert mean_and_range([None, 2.0, 4.0]) == "3 [2, 4]"
    assert mean_and_range([2.0, 2.0]) == "2"
    assert mean_and_range([]) == ""


@pytest.mark.slow
def test_a_sweep_with_more_seeds_keeps_the_runs_that_are_there(tmp_path: Path) -> None:
    """The order of jobs is another, and so are the words of the runs that are finished."""
    place = (f"output_dir={tmp_path}", "name=sweep")
    first = run_py("-m", "seed=0,1", "noise_rate=0.1,0.2", *place)
    assert first.returncode == 0, first.stderr
    before = {p.parent.name: p.stat().st_mtime_ns for p in tmp_path.glob("sweep/*/metrics.csv")}
    assert len(before) == 4
    again = run_py("-m", "noise_rate=0.2,0.1", "seed=2,1,0", "threads=1", *place)
    assert again.returncode == 0, again.stderr
    after = {p.parent.name: p.stat().st_mtime_ns for p in tmp_path.glob("sweep/*/metrics.csv")}
    assert len(after) == 6 and {name: after[name] for name in before} == before
    found = {(row["noise_rate"], row["seed"]) for row in rows(tmp_path / "sweep")}
    assert found == {(rate, seed) for rate in ("0.1", "0.2") for seed in "012"}
    assert "noise_rate" in again.stdout and "threads" not in again.stdout


@pytest.mark.slow
def test_the_same_sweep_twice_at_once_is_one_sweep(tmp_path: Path) -> None:
    words = ("-m", "seed=0,1,2", "max_steps=300", f"output_dir={tmp_path}", "name=sweep")
    command = [sys.executable, "run.py", *words, *(w for w in TINY if "max_steps" not in w)]
    both = [
        subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=500) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    for stdout, _ in said:
        assert "mean [min, max] over seeds" in stdout and "not finished" not in stdout
    assert [row["seed"] for row in rows(tmp_path / "sweep")] == ["0", "1", "2"]
    logs = [(tmp_path / "sweep" / job / "run.log").read_text() for job in "012"]
    assert all(log.count("noise symmetric: requested") == 1 for log in logs)  # each is trained once


def test_a_job_that_another_process_runs_is_waited_for(
    tiny_config: Callable[..., DictConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, folder = tiny_config(), tmp_path / "0"
    with claim(folder, cfg, []) as directory:
        assert train_in_sweep(cfg, folder, []) is None
        assert "run 0 is run by another process" in capsys.readouterr().out
        directory.summary.write_text("{}")
    assert wait_for_others(tmp_path) == []


def test_a_job_that_the_other_process_left_unfinished_is_named(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    cfg, folder = tiny_config(), tmp_path / "0"
    with claim(folder, cfg, []):
        assert train_in_sweep(cfg, folder, []) is None
    assert wait_for_others(tmp_path) == [folder]


def test_the_ledger_saves_reading_the_configurations_of_other_jobs(
    tiny_config: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        with claim(tmp_path / str(number), tiny_config(f"seed={number}"), []):
            hashed = config_hash(tiny_config(f"seed={number}"))
            # Folder 3 is not in the ledger, and folder 2 has had another run.
            for each in {2: (hashed, "another"), 3: ()}.get(number, (hashed,)):
                event = job_event(tmp_path / str(number), each, [])
                append(tmp_path, event | {"status": "started"})
    looked: list[str] = []
    original = jobs._hash_in

    def look(folder: Path) -> str | None:
        looked.append(folder.name)
        return original(folder)

    monkeypatch.setattr(jobs, "_hash_in", look)
    for number in range(5):
        assert job_folder(tmp_path / "9", tiny_config(f"seed={number}")).name == str(number)
    assert looked == ["0", "1", "2", "3", "3", "4"]
    ledger = ledger_of(tmp_path)
    lines = ledger.read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace("started", "startet")  # the hash of folder 2 is lost
    ledger.write_text("".join(lines))
    for number in range(5):
        assert job_folder(tmp_path / "9", tiny_config(f"seed={number}")).name == str(number)


def test_a_job_lies_where_its_configuration_is(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    for number, rate in enumerate((0.1, 0.2)):
        with claim(tmp_path / str(number), tiny_config(f"noise_rate={rate}"), []):
            pass
    for given in ("0", "1", "2"):
        assert job_folder(tmp_path / given, tiny_config("noise_rate=0.2")).name == "1"
    new = tiny_config("noise_rate=0.3")
    assert [job_folder(tmp_path / given, new).name for given in ("0", "1", "2")] == ["2", "2", "2"]


def test_a_job_with_a_damaged_configuration_is_refused_and_not_computed_elsewhere(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    cfg = tiny_config("seed=5")
    with claim(tmp_path / "0", cfg, []):
        pass
    file = RunDirectory(tmp_path / "0").config
    file.write_text(file.read_text().replace("seed: 5", "seed: 7"))
    with pytest.raises(InputError, match=r"0/.hydra/config.yaml is damaged"):
        train_in_sweep(cfg, tmp_path / "0", [])
    assert not (tmp_path / "1").exists()


def test_a_report_that_a_signal_ends_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("labelnoise.sweeps.report._directory", tmp_path)
    monkeypatch.setattr("labelnoise.sweeps.report.call_in_fork", lambda *_: -15)
    with pytest.raises(SystemExit) as left, sweep_reported():
        pass
    assert left.value.code == 1
    line = f"error: the report on {tmp_path} was interrupted: write the same command again\n"
    assert capsys.readouterr().err == line
