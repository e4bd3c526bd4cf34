"""``hydra/launcher=isolated``: sweeps in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from labelnoise.audit.config import compose as compose_audit
from labelnoise.config import CONF_DIR
from labelnoise.config.composition import register_schema
from labelnoise.config.remembered import RememberingLoader
from labelnoise.errors import InputError
from labelnoise.run_directory import RunDirectory
from labelnoise.sweeps.launcher import Sweep, _remove_outputs
from labelnoise.sweeps.ledger import host, read_events
from labelnoise.sweeps.shares import Shares, shares_of
from labelnoise.sweeps.status import state_of
from tests.conftest import TINY, latest
from tests.sweeps.trouble import VARIABLE, WORDS

ROOT = Path(__file__).resolve().parents[2]


def start(
    folder: Path,
    *words: str,
    trouble: dict[int, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start a sweep in ``folder``; ``trouble`` maps seeds to methods of Trouble."""
    options = latest(*TINY, *WORDS, *words, f"output_dir={folder}", "name=sweep")
    return subprocess.Popen(
        [sys.executable, "run.py", "-m", *options],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **(environment or {}), VARIABLE: json.dumps(trouble or {})},
        start_new_session=True,
        # Tests that are started in the background ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def end(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    stdout, stderr = process.communicate(timeout=600)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def until(happened: Callable[[], bool], seconds: float = 200) -> None:
    limit = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.05)


def processes(sweep: Path) -> list[int]:
    """The processes of jobs in the ledger that exist."""
    pids = {event["pid"] for event in read_events(sweep)[0] if "pid" in event}
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def numbers_of(sweep: Path, name: str = "metrics.csv") -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sweep.glob(f"*/{name}")}


def summaries(sweep: Path) -> dict[str, Any]:
    found = {}
    for path in sweep.glob("*/summary.json"):
        summary = json.loads(path.read_text())
        found[path.parent.name] = {k: v for k, v in summary.items() if k != "seconds"}
    return found


@pytest.mark.slow
def test_jobs_have_the_results_of_the_basic_launcher_and_share_no_state(tmp_path: Path) -> None:
    words = ("seed=range(0,3)", "threads=1")
    basic = end(start(tmp_path / "basic", *words, "hydra/launcher=basic"))
    assert basic.returncode == 0, basic.stderr
    one_place = (*words, "hydra.launcher.n_jobs=1")
    found = end(start(tmp_path / "isolated", *one_place, trouble={0: "change_the_process"}))
    assert found.returncode == 0, found.stderr
    sweeps = [tmp_path / name / "sweep" for name in ("basic", "isolated")]
    for name in ("metrics.csv", "coefficients.npz", "checkpoints/selected.ckpt"):
        theirs, ours = [
            {p.relative_to(sweep): p.read_bytes() for p in sweep.glob(f"*/{name}")}
            for sweep in sweeps
        ]
        del theirs[Path("0") / name], ours[Path("0") / name]  # it has seen its own changes
        assert len(ours) == 2 and ours == theirs


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_that_is_ended_leaves_no_process_and_continues(
    tmp_path: Path, number: signal.Signals
) -> None:
    words, sweep = ("seed=0,1,2", "max_steps=100"), tmp_path / "sweep"
    process = start(tmp_path, *words, trouble={0: "be_slow", 1: "be_slow"})
    until(lambda: len(list(sweep.glob("*/checkpoints/last.ckpt"))) == 2)
    if number == signal.SIGKILL:
        os.kill(process.pid, number)
    else:
        os.killpg(process.pid, number)  # as a terminal or a cluster does
    done = end(process)
    until(lambda: not processes(sweep))
    assert not list(sweep.glob("*/summary.json"))
    log = (sweep / "0" / "run.log").read_text()
    assert "interrupted; continue with: python run.py resume=" in log
    if number != signal.SIGKILL:
        assert done.returncode == 128 + number
        assert "0  interrupted  seed=0" in done.stderr and "not started: 2" in done.stderr
        assert "2 running jobs save and leave" in done.stdout
    assert state_of(sweep).counts() == "2 interrupted, 1 waiting"
    assert end(start(tmp_path, *words)).returncode == 0
    undisturbed = end(start(tmp_path / "undisturbed", *words))
    assert undisturbed.returncode == 0, undisturbed.stderr
    whole = tmp_path / "undisturbed" / "sweep"
    assert summaries(sweep).keys() == {"0", "1", "2"}
    assert numbers_of(sweep) == numbers_of(whole)
    ours, theirs = summaries(sweep), summaries(whole)
    assert [ours[n]["final"] for n in "012"] == [theirs[n]["final"] for n in "012"]


@pytest.mark.slow
def test_a_second_signal_ends_the_jobs_at_once(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    process = start(tmp_path, "seed=0,1", "max_steps=100000", trouble={0: "sleep", 1: "sleep"})
    until(lambda: sum("trouble begins" in p.read_text() for p in sweep.glob("*/output.log")) == 2)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    done = end(process)
    assert done.returncode == 130
    assert "0  killed  seed=0  ended by a second signal" in done.stderr
    assert not processes(sweep)


@pytest.mark.slow
def test_fail_fast_starts_no_more_jobs(tmp_path: Path) -> None:
    options = ("hydra.launcher.fail_fast=true", "hydra.launcher.n_jobs=2")
    trouble = {0: "be_slow", 1: "fail"}
    done = end(start(tmp_path, "seed=range(0,5)", *options, "max_steps=1000", trouble=trouble))
    assert done.returncode == 1
    assert "0  interrupted  seed=0" in done.stderr and "1  failed       seed=1" in done.stderr
    assert "not started: 2 to 4" in done.stderr
    assert (tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.slow
def test_a_run_goes_on_with_the_threads_with_which_it_began(tmp_path: Path) -> None:
    words = latest(*TINY, "seed=0,1", "threads=null")
    for n_jobs in (1, 2):
        place = (f"output_dir={tmp_path}", f"name=a{n_jobs}", f"hydra.launcher.n_jobs={n_jobs}")
        done = subprocess.run(
            [sys.executable, "run.py", "-m", *words, *place],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    first, second = (RunDirectory(tmp_path / f"a{n}" / "1") for n in (1, 2))
    for run in (first, second):
        assert run.manifest.section("threads") == {"count": 1}
        assert run.read_config().threads is None
    assert first.read_summary()["config_hash"] == second.read_summary()["config_hash"]
    assert first.metrics.read_bytes() == second.metrics.read_bytes()


def test_the_number_of_jobs_and_their_threads(
    tiny_config: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelnoise.sweeps.shares.cores", lambda: 8)
    monkeypatch.setattr("labelnoise.sweeps.shares.available_memory", lambda: 2**40)
    free, two = tiny_config("threads=null"), tiny_config("threads=2")
    assert shares_of(free, 100, None) == Shares(8, 1, [])
    assert shares_of(free, 3, None) == Shares(3, 1, [])
    assert shares_of(free, 100, 2) == Shares(2, 1, [])  # the results do not depend on n_jobs
    assert shares_of(two, 100, None) == Shares(4, None, [])
    assert shares_of(tiny_config("trainer=ddp"), 100, None) == Shares(1, None)
    assert shares_of(compose_audit(["data=digits"]), 100, None) == Shares(1, None)
    monkeypatch.setattr("labelnoise.sweeps.shares.gpus_of", lambda cfg: ["0", "1"])
    assert shares_of(free, 100, None) == Shares(2, 4, ["0", "1"])
    assert shares_of(free, 100, 3) == Shares(3, 4, ["0", "1"])
    monkeypatch.setattr("labelnoise.sweeps.shares.available_memory", lambda: 0)
    assert shares_of(free, 100, None).at_once == 1


@pytest.mark.parametrize(
    ("n_jobs", "fail_fast", "line"),
    [
        (0, False, "hydra.launcher.n_jobs must be"),
        ("many", False, "hydra.launcher.n_jobs must be"),
        (None, "yes", "hydra.launcher.fail_fast must be"),
    ],
)
def test_bad_options(n_jobs: Any, fail_fast: Any, line: str) -> None:
    with pytest.raises(InputError, match=line):
        Sweep("isolated", {"n_jobs": n_jobs, "fail_fast": fail_fast}, None, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "words",
    [
        [["seed=1"], ["seed=2", "data.n=30"], ["seed=3", "noise=none"]],
        [["technique=[elr,mixup]", "technique.elr.beta=0.3"], ["technique=elr", "seed=4"]],
        [["+trainer.limit_train_batches=2", "seed=1"], ["~logger.tensorboard", "seed=2"]],
        [["optimizer.lr=${noise_rate}", "noise_rate=0.3"], ["data={n:40}", "seed=7"]],
    ],
)
def test_remembered_configurations_are_those_of_hydra(words: Sequence[list[str]]) -> None:
    register_schema()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        theirs = GlobalHydra.instance().config_loader()
        ours = RememberingLoader(theirs.get_search_path())
        master = theirs.load_configuration("config", ["name=a"], run_mode=RunMode.MULTIRUN)
        for job in [*words, *words]:
            found = [loader.load_sweep_config(master, list(job)) for loader in (ours, theirs)]
            for cfg in found:
                assert OmegaConf.is_struct(cfg)
                with open_dict(cfg):
                    cfg.name = "a"
            assert OmegaConf.to_yaml(found[0]) == OmegaConf.to_yaml(found[1])


def test_the_output_of_jobs_of_an_ended_sweep_is_removed(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                           capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    kept = [
        tmp_path / f".job-0-{host()}-{os.getpid()}.log",
        tmp_path / f".job-0-elsewhere-{ended}.log",
    ]
    for file in (*kept, tmp_path / f".job-0-{host()}-{ended}.log"):
        file.touch()
    _remove_outputs(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)
