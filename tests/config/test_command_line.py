"""Bad input gives one line with the bad value and the allowed values."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from labelnoise.config.command_line import explain, one_line_errors
from labelnoise.config.composition import check
from labelnoise.processes.interrupts import Interrupted
from labelnoise.training.train import train
from tests.conftest import but_slow

ROOT = Path(__file__).resolve().parents[2]


def run_py(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "run.py", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


CASES = {
    "noise_rate=-0.1": r"noise_rate must be a number from 0 to below 1, got -0.1",
    "noise_rate=1.5": r"noise_rate must be a number from 0 to below 1, got 1.5",
    "noise_rate=nan": r"noise_rate must be a number from 0 to below 1, got nan",
    "noise_rate=abc": r"noise_rate must be a number, got abc",
    "noise_rate=0.5": r"not below 1/2: with two classes.*tau_\+, tau_- < 1/2",
    "seed=-1": r"seed must be a whole number of at least 0, got -1",
    "seed=1.5": r"seed must be a whole number, got 1.5",
    "max_steps=0 max_epochs=0": r"set max_steps or max_epochs to at least 1",
    "batch_size=0": r"batch_size must be a whole number of at least 1 or null, got 0",
    "batch_size=21": r"batch_size must be a whole number from 1 to 20, got 21",
    "log_every_n_steps=0": r"log_every_n_steps must be a whole number of at least 1 or null, got 0",
    "technique=magic": r"technique=magic does not exist, choose from: .*early_stop, .*none",
    "data=imagenet": r"data=imagenet does not exist, choose from: .*cifar10, .*image_folder",
    "model=gpt": r"model=gpt does not exist, choose from: .*cnn, .*resnet18, .*two_layer_cnn",
    "technique=null": r"a group cannot be null, write none instead",
    "data.n=0": r"data.n must be a whole number of at least 2, got 0",
    "data.d=0": r"data.d must be a whole number of at least 1, got 0",
    "model.filters=0": r"model.filters must be a whole number from 1 to 1,000,000, got 0",
    "data.d=20": r"d = 20 with n = 20.*needs d >= n \+ 1 = 21",
    "technique=early_stop monitor=none data.d=20": r"needs d >= n \+ 1 = 21",
    "technique=sample_selection monitor=none data.d=20": r"needs d >= n \+ 1 = 21",
    "technique=early_stop technique.early_stop.patiense=3": r"patiense does not exist",
    "+technique.early_stop.patience=3": r"technique.early_stop has no _target_",
    "technique=early_stop +technique.early_stop.foo=1": r"technique.early_stop.foo does not exist",
    "dat=cifar10": r"dat does not exist, did you mean data\?",
    "noise=human": r"noise.path has no default, give it as noise.path=",
    "data=image_folder": r"data.root has no default, give it as data.root=",
    "data=image_table": r"data.table has no default, give it as data.table=",
    "optimizer.lr=0": r"optimizer.lr must be a number above 0, got 0",
    "optimizer.lr=abc": r"optimizer.lr must be a number above 0, got abc",
    "+noise_rte=0.3": r"noise_rte does not exist, there are: data, noise",
    "output_dir=": r"output_dir is empty",
    "data.n=abc": r"data.n must be a whole number of at least 2, got abc",
    "trainer.accelerator=quantum": r"trainer.accelerator must be one of auto, cpu, gpu, .*quantum",
    "nonsense": r"cannot read 'nonsense', write NAME=VALUE",
    "data=cifar10 noise_rate=0.95 data.root=/nonexistent data.download=false": r"is not in",
}


@pytest.mark.parametrize("words", CASES)
def test_one_line_says_what_came_and_what_is_allowed(
    words: str,
    tiny_config: Callable[..., DictConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", *words.split()])
    with pytest.raises(Exception) as raised:
        choices = [word for word in words.split() if word.startswith("data=")]
        # The tiny settings are those of signal-noise data.
        if choices and choices != ["data=signal_noise"]:
            from labelnoise.config.composition import compose

            cfg = compose(words.split())
        else:
            cfg = tiny_config(*words.split())
        check(cfg)
        train(cfg, tmp_path / "run")
    line = explain(raised.value)
    assert line is not None and "\n" not in line
    assert re.search(CASES[words], line), line
    assert not (tmp_path / "run").exists()


def test_the_projects_own_defects_are_not_taken_for_users_errors() -> None:
    assert explain(ValueError("a bug")) is None
    assert explain(KeyError("a bug")) is None


@pytest.mark.parametrize(
    ("words", "message"),
    but_slow(
        (["noise_rate=nan"], "error: noise_rate must be a number from 0 to below 1, got nan"),
        (["technique=magic"], "error: technique=magic does not exist"),
        (["technique=early_stop", "technique.early_stop.patiense=3"],
         "did you mean technique.early_stop.patience?"),
        (["technique.early_stop.patience=3"], "without technique=early_stop: write both"),
        (["output_dir=/dev/null/x"], "error: cannot use /dev/null/x"),
        fast=2,
    ),
)  # fmt: skip
def test_the_command_ends_with_one_line_and_status_1(
    words: list[str], message: str, tmp_path: Path
) -> None:
    place = [] if any(word.startswith("output_dir") for word in words) else [
        f"output_dir={tmp_path}"
    ]  # fmt: skip
    done = run_py(*words, *place)
    assert done.returncode == 1
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_help_and_configuration_answer_without_torch() -> None:
    code = (
        "import sys, runpy\n"
        "sys.argv = ['run.py', {flags}]\n"
        "try:\n    runpy.run_path('run.py', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    for flags, expected in (
        ("'--help'", "python run.py noise_rate=0.2 technique=early_stop"),
        ("'--cfg', 'job'", "noise_rate: 0.2"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code.format(flags=flags)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


def test_every_group_has_its_place_in_the_help_page() -> None:
    page = run_py("--help").stdout
    for group in ("data", "noise", "model", "optimizer", "technique", "monitor", "trainer"):
        names = [path.stem for path in (ROOT / "conf" / group).glob("*.yaml")]
        assert f"{group}: {', '.join(sorted(names))}" in page


@pytest.mark.slow
def test_a_terminated_run_says_how_to_go_on_and_does(tmp_path: Path) -> None:
    place = [f"output_dir={tmp_path}", "name=run", "trainer.enable_progress_bar=false"]
    process = subprocess.Popen(
        [sys.executable, "run.py", *place], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    while not checkpoint.is_file() and process.poll() is None:
        time.sleep(0.05)
    process.terminate()
    _, stderr = process.communicate()
    assert process.returncode == 143
    assert f"python run.py resume={tmp_path / 'run'}" in stderr and "Traceback" not in stderr
    assert not (tmp_path / "run" / "summary.json").exists()
    assert run_py(f"resume={tmp_path / 'run'}").returncode == 0
    assert (tmp_path / "run" / "summary.json").is_file()


def test_an_error_that_a_signal_caused_ends_as_the_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py"])
    with pytest.raises(SystemExit) as left, one_line_errors():
        try:
            raise Interrupted(2)
        finally:  # as a library that cleans up half of its work
            raise AttributeError("no parent")
    assert left.value.code == 130
    assert capsys.readouterr().err == ""
