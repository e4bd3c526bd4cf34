"""``hydra/launcher=slurm``, ``slurm_local`` and ``ray``: sweeps on a cluster."""

from __future__ import annotations

import csv
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from labelnoise.errors import InputError
from labelnoise.processes.alone import check_alone
from labelnoise.processes.pool import Job
from labelnoise.processes.ray_pool import RayPool, connected
from labelnoise.processes.remote import RemoteCall
from labelnoise.run_directory import RunDirectory
from labelnoise.sweeps.crews import check, crew_of
from labelnoise.sweeps.ledger import read_events
from labelnoise.sweeps.status import report_status, state_of
from labelnoise.training.train import train
from tests.conftest import TINY, latest
from tests.sweeps import slurm
from tests.sweeps.test_launcher import ROOT, end, numbers_of, processes, start, summaries, until

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


def children_of(pid: int) -> list[int]:
    words = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    found = [int(word) for word in " ".join(words).split()]
    return found + [each for child in found for each in children_of(child)]


def weights_of(sweep: Path) -> dict[str, torch.Tensor]:
    file = RunDirectory(sweep / "0").selected_checkpoint
    found: dict[str, torch.Tensor] = torch.load(file, weights_only=True)["state_dict"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_three_of_twelve_jobs_fail_alone_and_are_repeated_alone(
    tmp_path: Path, launcher: str, environment: Mapping[str, str]
) -> None:
    sweep, words = tmp_path / "sweep", ["seed=range(0,12)", f"hydra/launcher={launcher}"]
    if launcher != "slurm":
        words.append("hydra.launcher.n_jobs=3")
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
    for number in signals:
        for each in (pid, *children_of(pid)):  # as SLURM does
            os.kill(each, number)
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


@pytest.mark.slow
def test_a_job_that_reaches_its_time_limit_too_often_says_so(tmp_path: Path) -> None:
    limits = ("timeout_min=1", "signal_delay_s=45", "max_num_timeout=1")
    words = [f"hydra.launcher.{limit}" for limit in limits]
    words += ["seed=0", "max_steps=100000", "hydra/launcher=slurm_local"]
    done = end(start(tmp_path, *words, trouble={0: "be_slow"}))
    assert done.returncode == 1
    assert "the time limit ended it too often" in done.stderr
    assert "Traceback" not in done.stderr
    events = [event["status"] for event in read_events(tmp_path / "sweep")[0]]
    assert events == ["sweep", *["started", "interrupted"] * 2]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["slurm_local", "ray"])
def test_a_sweep_that_is_interrupted_saves_its_runs_and_continues(
    tmp_path: Path, launcher: str
) -> None:
    words, sweep = ("seed=0,1", "max_steps=100", f"hydra/launcher={launcher}"), tmp_path / "sweep"
    process = start(tmp_path, *words, trouble={0: "be_slow", 1: "be_slow"})
    until(lambda: len(list(sweep.glob("*/checkpoints/last.ckpt"))) == 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    done = end(process)
    assert done.returncode == 130, done.stderr
    assert "0  interrupted  seed=0" in done.stderr and "Traceback" not in done.stderr
    until(lambda: not processes(sweep))
    assert state_of(sweep).counts() == "2 interrupted"
    assert end(start(tmp_path, *words)).returncode == 0
    assert "resuming from" in (sweep / "0" / "run.log").read_text()


@pytest.mark.slow
def test_jobs_stay_in_slurm_if_the_command_is_interrupted(
    tmp_path: Path, environment: Mapping[str, str]
) -> None:
    words, sweep = ("seed=0,1", "hydra/launcher=slurm"), tmp_path / "sweep"
    trouble = {0: "be_slow", 1: "be_slow"}
    process = start(tmp_path, *words, trouble=trouble, environment=environment)
    until(lambda: bool(list(sweep.glob("*/checkpoints/last.ckpt"))))
    os.killpg(process.pid, signal.SIGINT)
    done = end(process)
    assert done.returncode == 130
    assert "0  submitted  seed=0  stays in the cluster; scancel 100_0 ends it" in done.stderr
    until(lambda: len(list(sweep.glob("*/summary.json"))) == 2)


@pytest.mark.slow
def test_what_sbatch_refuses_is_one_line(tmp_path: Path, environment: Mapping[str, str]) -> None:
    words = ("seed=0,1", "hydra/launcher=slurm", "hydra.launcher.partition=missing")
    done = end(start(tmp_path, *words, environment=environment))
    line = "error: SLURM does not accept the jobs: invalid partition specified: missing\n"
    assert (done.returncode, done.stderr) == (1, line)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_ray_listens_on_this_machine_only_and_leaves_no_process() -> None:
    program = """
import os
from labelnoise.processes.ray_pool import connected
with connected(None, 1) as ray:
    print(ray.nodes()[0]["NodeManagerAddress"], os.environ["RAY_USAGE_STATS_ENABLED"])
    print(ray._private.worker.global_worker.node.session_name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    address, session = done.stdout.splitlines()
    assert address == "127.0.0.1 0" and done.stderr == ""
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(session.encode() in command for command in commands)


SLURM_JOB = {
    "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "labelnoise", "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0", "SLURM_NTASKS": "1", "SLURM_STEP_NUM_TASKS": "1",
    "SLURM_JOB_NODELIST": "a", "SLURM_ARRAY_JOB_ID": "6", "SLURM_ARRAY_TASK_ID": "1",
}  # fmt: skip


def test_lightning_does_not_take_over_in_a_job_of_slurm(
    tiny_config: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(tiny_config("max_steps=20"), tmp_path / "a")
    for name, value in SLURM_JOB.items():
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGUSR1)
    ours = train(tiny_config("max_steps=20"), tmp_path / "b")
    assert ours["final"] == plain["final"]
    assert signal.getsignal(signal.SIGUSR1) is before


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, "WORLD_SIZE is 2"),
        ({"RANK": "0", "WORLD_SIZE": "2", "GROUP_RANK": "0"}, "WORLD_SIZE is 2"),
        (SLURM_JOB | {"SLURM_NTASKS": "2"}, "SLURM_NTASKS is 2.*--ntasks=1"),
        (SLURM_JOB | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_NAME": "bash"},
         "SLURM_STEP_NUM_TASKS is 2"),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4"}, "MPI starts .* 4 processes"),
    ],
)  # fmt: skip
def test_a_run_refuses_to_be_one_of_several_processes(
    variables: dict[str, str],
    line: str,
    tiny_config: Callable[..., DictConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"{line}.*one run trains on the devices of one machine"):
        train(tiny_config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_torchrun_on_two_nodes_is_refused(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = (*latest(*TINY), f"output_dir={tmp_path}", "name=a")
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
             f"--node-rank={rank}", "--master-addr=127.0.0.1", f"--master-port={port}",
             "run.py", *words],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    for node in nodes:
        done = end(node)
        assert done.returncode == 1
        assert "error: torchrun starts this command as 2 processes" in done.stderr
    assert not (tmp_path / "a").exists()


def test_a_shell_of_slurm_is_one_process() -> None:
    check_alone(SLURM_JOB)
    check_alone(SLURM_JOB | {"SLURM_NTASKS": "8", "SLURM_JOB_NAME": "interactive"})
    check_alone({"SLURM_NTASKS": "8", "SLURM_JOB_ID": "7"})  # salloc on a login node


OPTIONS: dict[str, dict[str, Any]] = {
    "slurm": {
        "partition": None, "account": None, "qos": None, "constraint": None, "timeout_min": 60,
        "cpus_per_job": 1, "gpus_per_job": None, "mem_gb": None, "n_jobs": 256,
        "signal_delay_s": 120, "max_num_timeout": 3, "setup": None, "additional_parameters": {},
        "fail_fast": False,
    },
    "ray": {
        "address": None, "n_jobs": None, "cpus_per_job": 1, "gpus_per_job": None,
        "fail_fast": False,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "option", "value", "line"),
    [
        ("slurm", "nodes", 2, "hydra.launcher.nodes does not exist, hydra.launcher has: account"),
        ("slurm", "timeout_min", 0, "hydra.launcher.timeout_min must be a whole number"),
        ("slurm", "mem_gb", "much", "hydra.launcher.mem_gb must be a number"),
        ("ray", "cpus_per_job", None, "hydra.launcher.cpus_per_job must be a whole number"),
        ("ray", "fail_fast", 3, "hydra.launcher.fail_fast must be true or false"),
    ],
)
def test_bad_options(name: str, option: str, value: object, line: str) -> None:
    with pytest.raises(InputError, match=line):
        check(OPTIONS[name] | {option: value})


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("slurm", "submitit", "cluster"), ("ray", "ray", "ray")]
)
def test_a_missing_extra_is_named(
    name: str,
    module: str,
    extra: str,
    tiny_config: Callable[..., DictConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(InputError, match=re.escape(f'pip install "labelnoise[{extra}]"')):
        crew = crew_of(name, OPTIONS[name], tiny_config(), 2, tmp_path, "run", print)
        list(crew.pool.run(iter([])))


def test_a_machine_without_slurm_is_named(
    tiny_config: Callable[..., DictConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="sbatch and srun, and this machine does not have them"):
        crew_of("slurm", OPTIONS["slurm"], tiny_config(), 2, tmp_path, "run", print)


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("ray://head:10001", "must be null, auto or HOST:PORT, got ray://head:10001"),
        ("head", "must be null, auto or HOST:PORT, got head"),
        ("127.0.0.1:1", "no Ray cluster answers at hydra.launcher.address=127.0.0.1:1: Connection"),
        ("127.0.0.1:99999999", "no Ray cluster answers"),
    ],
)
def test_an_address_without_a_cluster_is_named(address: str, line: str) -> None:
    with pytest.raises(InputError, match=line), connected(address, 1):
        pass


@pytest.mark.slow
def test_jobs_that_ray_cannot_place_are_refused() -> None:
    pool = RayPool(None, 1, 1, 64, None, lambda error: None)
    with pytest.raises(InputError, match="no machine of Ray has 1 cores and 64 GPUs"):
        list(pool.run(iter([])))


def test_a_job_on_a_machine_without_the_folder_says_so(tmp_path: Path) -> None:
    call = RemoteCall(Job("0", print, (), tmp_path / "missing" / "output"), lambda error: None)
    report = call().report
    assert report.status == "failed" and report.refused
    assert "must share the folder of the command and output_dir" in str(report.reason)
