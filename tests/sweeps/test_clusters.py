"""``hydra/launcher=slurm``, ``slurm_local`` and ``ray``: sweeps on a cluster."""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from omegaconf import DictConfig

from labelnoise.errors import InputError
from labelnoise.processes import submitit_pool
from labelnoise.processes.alone import check_alone
from labelnoise.processes.pool import Job
from labelnoise.processes.ray_pool import connected
from labelnoise.processes.remote import RemoteCall
from labelnoise.run_directory import RunDirectory
from labelnoise.sweeps.crews import check, crew_of
from labelnoise.sweeps.ledger import read_events
from labelnoise.sweeps.status import report_status, state_of
from tests.sweeps import slurm
from tests.sweeps.test_launcher import ROOT, end, numbers_of, start, summaries, until

# The launchers, with the reason of a job that was killed.
LAUNCHERS = {
    "isolated": "killed by SIGKILL",
    "slurm_local": "its process ended without a report",
    "slurm": "SLURM ended it, with the state FAILED",
    "ray": "its process ended without a report",
}


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """The variables of a machine with the commands of SLURM."""
    return slurm.install(tmp_path / "slurm")


def weights_of(sweep: Path) -> dict[str, torch.Tensor]:
    file = RunDirectory(sweep / "0").selected_checkpoint
    found: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["state_dict"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_three_of_twelve_jobs_fail_alone_and_are_repeated_alone(
    tmp_path: Path, launcher: str, environment: Mapping[str, str]
) -> None:
    words, sweep = ("seed=range(0,12)", f"hydra/launcher={launcher}"), tmp_path / "sweep"
    if launcher != "slurm":
        words = (*words, "hydra.launcher.n_jobs=3")
    trouble = {2: "fail", 5: "leave", 7: "be_killed"}
    done = end(start(tmp_path, *words, trouble=trouble, environment=environment))
    assert done.returncode == 1
    assert done.stderr.endswith("error: 3 jobs of the sweep did not finish\n")
    assert "Traceback" not in done.stderr and "Traceback" not in done.stdout
    for line in (
        "2  failed  seed=2  RuntimeError: trouble",
        "5  failed  seed=5  the job called sys.exit(3)",
        f"7  killed  seed=7  {LAUNCHERS[launcher]}",
    ):
        assert line in done.stderr
    assert "python run.py -m " in done.stderr and "'seed=range(0,12)'" in done.stderr
    assert "RuntimeError: trouble" in (sweep / "2" / "output.log").read_text()
    assert LAUNCHERS[launcher] in (sweep / "7" / "output.log").read_text()
    assert done.stdout.startswith("12 jobs, ")
    if launcher != "slurm":
        assert done.stdout.startswith("12 jobs, 3 at a time")
    with (sweep / "sweep.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 9
    assert state_of(sweep).counts() == "9 finished, 2 failed, 1 killed"

    before = {p: p.stat().st_mtime_ns for p in sweep.glob("*/summary.json")}
    again = end(start(tmp_path, *words, environment=environment))
    assert again.returncode == 0, again.stderr
    assert len(before) == 9 and {p: p.stat().st_mtime_ns for p in before} == before
    with (sweep / "sweep.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 12
    assert report_status(sweep).splitlines()[0] == f"{sweep}: 12 finished"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "words", "signals"),
    [
        ("slurm_local", (), [signal.SIGUSR2]),
        ("slurm", (), [signal.SIGUSR2]),
        ("slurm", (), [signal.SIGCONT, signal.SIGTERM, signal.SIGUSR2, signal.SIGTERM]),
        ("slurm", ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"),
         [signal.SIGCONT, signal.SIGTERM, signal.SIGUSR2, signal.SIGTERM]),
    ],
)  # fmt: skip
def test_a_preempted_job_is_queued_again_and_ends_with_the_same_bits(
    tmp_path: Path,
    launcher: str,
    words: tuple[str, ...],
    signals: list[signal.Signals],
    environment: Mapping[str, str],
) -> None:
    sweep = tmp_path / "sweep"
    words = ("seed=0", "max_steps=100", f"hydra/launcher={launcher}", *words)
    process = start(tmp_path, *words, trouble={0: "be_slow"}, environment=environment)
    until(lambda: (sweep / "0" / "checkpoints" / "last.ckpt").exists())
    (pid,) = {event["pid"] for event in read_events(sweep)[0] if "pid" in event}
    job = psutil.Process(pid)
    for number in signals:
        for each in [job, *job.children(recursive=True)]:  # as SLURM does
            each.send_signal(number)
    done = end(process)
    assert done.returncode == 0, done.stderr
    events = [event["status"] for event in read_events(sweep)[0]]
    assert events == ["sweep", "started", "interrupted", "started", "finished"]
    assert "resuming from" in (sweep / "0" / "run.log").read_text()
    undisturbed = end(start(tmp_path / "other", *words, environment=environment))
    assert undisturbed.returncode == 0, undisturbed.stderr
    whole = tmp_path / "other" / "sweep"
    for name in ("metrics.csv", "coefficients.npz"):
        assert numbers_of(sweep, name) == numbers_of(whole, name)
    ours, theirs = weights_of(sweep), weights_of(whole)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert summaries(sweep)["0"]["final"] == summaries(whole)["0"]["final"]
