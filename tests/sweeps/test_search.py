"""The search over options with Optuna, with a launcher that trains nothing, and as a command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from labelnoise.config.score import score_of
from labelnoise.errors import BusyError, InputError
from labelnoise.processes.worker import INTERRUPTED, Report
from labelnoise.run_directory import RunDirectory
from labelnoise.sweeps.ledger import read_events
from labelnoise.sweeps.pruning import Pruning
from labelnoise.sweeps.search import read_space, search
from labelnoise.sweeps.study import held, open_journal, pruner_of
from labelnoise.training.train import train
from tests.conftest import TINY

optuna = pytest.importorskip("optuna")

from labelnoise.sweeps.journal import Journal  # noqa: E402, needs optuna

ROOT = Path(__file__).resolve().parents[2]
SPACE = ("optimizer.lr=tag(log,interval(0.001,1))", "technique=none,elr,[elr,early_stop]")
OPTIONS: dict[str, Any] = {
    "n_trials": 12, "n_jobs": 2, "sampler": "tpe", "pruner": "none", "seed": 0
}  # fmt: skip


@pytest.fixture
def whole_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials have whole runs, though the launcher trains nothing."""
    monkeypatch.setattr(RunDirectory, "is_whole", lambda run: True)


class Killed(BaseException):
    """In the place of SIGKILL."""


class Launcher:
    """Its jobs score lr + 1 for elr; chosen jobs fail, and the process dies in others.

    ``ends`` has the reports of jobs that do not finish.
    """

    def __init__(
        self,
        fails: Sequence[int] = (),
        dies: Sequence[int] = (),
        ends: Mapping[int, Report] | None = None,
    ) -> None:
        self.fails, self.dies, self.ends = fails, dies, ends or {}
        self.jobs: list[tuple[int, Sequence[str]]] = []

    def launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        returns = []
        for number, words in enumerate(jobs, initial_job_idx):
            self.jobs.append((number, words))
            if number in self.dies:
                raise Killed
            values = dict(word.split("=", 1) for word in words)
            score = float(values["optimizer.lr"]) + (values["technique"] == "elr")
            value: Any = "x" if number in self.fails or number in self.ends else score
            returns.append(SimpleNamespace(return_value=value, report=self.ends.get(number)))
        return returns


def searched(folder: Path, *words: str, launcher: Launcher | None = None, **options: Any) -> Any:
    """The study after the call ``words``."""
    hydra = {
        "sweep": {"dir": str(folder)},
        "launcher": {"fail_fast": options.pop("fail_fast", False)},
    }
    config = OmegaConf.create({"score": "val_acc", "hydra": hydra})
    launcher = launcher or Launcher()
    sweeper = SimpleNamespace(
        config=config, launcher=launcher, validate_batch_is_legal=lambda jobs: None
    )
    search(sweeper, [*SPACE, *words], **OPTIONS | options)
    return open_journal(folder, "maximize", pruner_of("none"))


def facts_of(study: Any) -> list[tuple[int, str, dict[str, Any], Any]]:
    return [(t.number, t.state.name, t.params, t.value) for t in study.trials]


@pytest.mark.usefixtures("whole_runs")
def test_a_search_that_was_killed_continues_with_the_same_trials(tmp_path: Path) -> None:
    undisturbed = facts_of(searched(tmp_path / "a"))
    for death in (3, 4, 10):
        with pytest.raises(Killed):
            searched(tmp_path / "b", launcher=Launcher(dies=[death]))
    with (tmp_path / "b" / "search.journal").open("ab") as file:
        file.write(b'{"op_code": 4, "wor')  # a write that was cut off
    last = Launcher()
    assert facts_of(searched(tmp_path / "b", launcher=last)) == undisturbed
    assert [number for number, _ in last.jobs] == [10, 11]
    assert len({str(params) for _, _, params, _ in undisturbed}) == 12
    assert {state for _, state, _, _ in undisturbed} == {"COMPLETE"}


@pytest.mark.usefixtures("whole_runs")
def test_more_trials_go_on_from_the_first(tmp_path: Path) -> None:
    few = facts_of(searched(tmp_path, n_trials=4))
    more = Launcher()
    assert facts_of(searched(tmp_path, n_trials=6, launcher=more))[:4] == few
    assert [number for number, _ in more.jobs] == [4, 5]


def test_failed_trials_are_survived_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="2 of 12 trials failed: run 2, 7"):
        searched(tmp_path, launcher=Launcher(fails=[2, 7]))
    assert "10 trials finished, 0 pruned, 2 failed" in capsys.readouterr().out
    found = OmegaConf.load(tmp_path / "optimization_results.yaml")
    trials = {n: (p, v) for n, s, p, v in facts_of(open_study(tmp_path)) if s == "COMPLETE"}
    best = max(trials, key=lambda n: trials[n][1])
    assert (found.best_trial, found.best_params, found.best_value) == (best, *trials[best])


DISK = Report("failed", reason="No space left on device", refused=True, lost=True)
KILLED = Report("killed", reason="killed by SIGKILL", signal=9, lost=True)


@pytest.mark.usefixtures("whole_runs")
@pytest.mark.parametrize(("end", "times"), [(DISK, 3), (INTERRUPTED, 3), (KILLED, 1)])
def test_a_trial_that_is_lost_is_repeated_and_the_search_is_the_undisturbed_one(
    tmp_path: Path, end: Report, times: int
) -> None:
    undisturbed = facts_of(searched(tmp_path / "a"))
    for _ in range(times):
        stopped = Launcher(ends={5: end})
        with pytest.raises(InputError, match="stopped, because run 5 in .*/b did not finish"):
            searched(tmp_path / "b", launcher=stopped)
        assert stopped.jobs[-1][0] == 5
    assert facts_of(searched(tmp_path / "b")) == undisturbed


@pytest.mark.usefixtures("whole_runs")
def test_a_trial_that_is_killed_twice_has_failed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stopped, because run 5"):
        searched(tmp_path, launcher=Launcher(ends={5: KILLED}))
    with pytest.raises(InputError, match="1 of 12 trials failed: run 5"):
        searched(tmp_path, launcher=Launcher(ends={5: KILLED}))


def test_the_run_of_a_finished_trial_is_read_again_if_it_is_not_whole(tmp_path: Path) -> None:
    searched(tmp_path, n_trials=2)  # which trains nothing
    again = Launcher()
    before = facts_of(searched(tmp_path, n_trials=2, launcher=again))
    assert [number for number, _ in again.jobs] == [0, 1]
    with pytest.raises(InputError, match="the run of the finished trial 1 cannot be used"):
        searched(tmp_path, n_trials=2, launcher=Launcher(fails=[1]))
    assert facts_of(open_study(tmp_path)) == before


def test_a_damaged_journal_is_refused(tmp_path: Path) -> None:
    searched(tmp_path, n_trials=2)
    journal = tmp_path / "search.journal"
    whole = journal.read_bytes()
    for place in range(3, len(whole) - 1, 97):  # not the last line end: the line is then cut off
        journal.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(InputError, match=r"search.journal is damaged after line \d+ \("):
            open_study(tmp_path)


def test_a_killed_process_does_not_keep_the_journal(tmp_path: Path) -> None:
    searched(tmp_path, n_trials=1)
    if (pid := os.fork()) == 0:
        Journal(tmp_path / "search.journal")._lock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    open_study(tmp_path).set_user_attr("a", 1)
    assert not list(tmp_path.glob("search.journal.lock*"))  # Optuna's own lock, kept for 30 s


def open_study(folder: Path) -> Any:
    return open_journal(folder, "maximize", pruner_of("none"))


def test_another_search_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    searched(tmp_path, "seed=3", "figures=false", n_trials=2)
    searched(tmp_path, "seed=3", "figures=true", n_trials=2)  # not a part of the runs
    with pytest.raises(InputError, match=r"has a search with options \['seed=3'\], not"):
        searched(tmp_path, "seed=4", n_trials=2)
    with pytest.raises(InputError, match="sampler tpe, not random: choose another name="):
        searched(tmp_path, "seed=3", sampler="random", n_trials=2)
    with held(tmp_path), pytest.raises(BusyError, match="another process runs the search in"):
        searched(tmp_path, "seed=3", n_trials=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_trials": 0}, "hydra.sweeper.n_trials must be a whole number of at least 1, got 0"),
        ({"sampler": "grid"}, "hydra.sweeper.sampler must be tpe or random, got grid"),
        ({"pruner": 1}, "hydra.sweeper.pruner must be none or median or hyperband, got 1"),
        ({"fail_fast": True}, "hydra.launcher.fail_fast=true ends a sweep at its first failure"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        searched(tmp_path / "search", **options)
    assert not (tmp_path / "search").exists()


def test_the_space_is_written_as_a_sweep() -> None:
    words = ["a=1,2", "b=interval(1,8)", "c=range(0,3)", "d=tag(log,interval(0.1,1))", "e=x", "b=3"]
    space, fixed = read_space(words)
    choices = optuna.distributions.CategoricalDistribution
    assert space["a"] == choices(("1", "2")) and space["c"] == choices(("0", "1", "2"))
    assert space["d"] == optuna.distributions.FloatDistribution(0.1, 1, log=True)
    assert fixed == ["e=x", "b=3"]
    with pytest.raises(InputError, match="needs an option with several values"):
        read_space(["a=1"])
    with pytest.raises(InputError, match="interval"):
        read_space(["a=tag(log,interval(0,1))"])


def test_a_score_from_test_data_is_refused_for_a_search(tmp_path: Path) -> None:
    sweeper = SimpleNamespace(config=OmegaConf.create({"score": "test_acc"}))
    with pytest.raises(InputError, match="score=test_acc reads test data"):
        search(sweeper, SPACE, **OPTIONS)
    assert score_of({"final": {"val/acc": 0.7}}, "val_acc") == 0.7


def test_a_trial_below_the_median_is_pruned(
    tmp_path: Path, tiny_config: Callable[..., DictConfig]
) -> None:
    study = open_journal(tmp_path, "maximize", pruner_of("median"))
    for _ in range(5):  # the median pruner waits for five trials
        trial = study.ask()
        for step in range(100):
            trial.report(2.0, step)
        study.tell(trial, 2.0)
    study.ask()
    cfg = tiny_config()
    summary = train(cfg, tmp_path / "5", watcher=Pruning(study, 5, "val_acc"))
    first = min(s for s in study.trials[5].intermediate_values)
    assert summary["status"] == "pruned" and summary["step"] == first
    assert study.trials[5].user_attrs == {"pruned": True}
    assert train(cfg, tmp_path / "5", watcher=Pruning(study, 5, "val_acc")) == summary
    with pytest.raises(InputError, match=f"ended the run in .* early, at step {first}"):
        train(cfg, tmp_path / "5")


@pytest.mark.slow
def test_the_command_is_killed_and_finishes_its_trials(tmp_path: Path) -> None:
    words = [
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=6", "hydra.sweeper.pruner=median",
        "hydra.sweeper.n_jobs=2", f"output_dir={tmp_path}", "name=search", *TINY, *SPACE,
    ]  # fmt: skip
    command = [sys.executable, "run.py", *words]
    first = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    while not (tmp_path / "search" / "3" / "run.log").exists() and first.poll() is None:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 failed" in done.stdout and "best val_acc: " in done.stdout
    states = [trial.state.name for trial in open_study(tmp_path / "search").trials]
    assert len(states) == 6 and set(states) <= {"COMPLETE", "PRUNED"}
    for number in range(6):
        summary = json.loads((tmp_path / "search" / str(number) / "summary.json").read_text())
        assert (summary["status"] == "pruned") == (states[number] == "PRUNED")
    scores = {e["job"]: e["score"] for e in read_events(tmp_path / "search")[0] if "score" in e}
    assert {n for n, score in scores.items() if score is None} == {
        n for n, state in enumerate(states) if state == "PRUNED"
    }
