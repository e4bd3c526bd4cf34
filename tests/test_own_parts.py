"""Parts of the user's own, by the examples of docs/own_parts.md in a folder of their own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labelnoise.config.command_line import explain, resume_command
from labelnoise.config.composition import check, compose
from labelnoise.config.own_parts import check_own_names, config_dir_of, own_config_dir
from labelnoise.errors import InputError
from labelnoise.report.tables.settings import settings_of
from labelnoise.training.train import train
from tests.conftest import latest
from tests.parts import as_dict
from tests.test_recipes import ROOT, fences

PAGE = (ROOT / "docs" / "own_parts.md").read_text()
TINY = (
    "max_epochs=2", "batch_size=100", "threads=1", "figures=false", "logger=none",
    "trainer.enable_progress_bar=false",
)  # fmt: skip
DOORS = {
    "labelnoise": [str(ROOT / "run.py")],
    "labelnoise-report": ["-m", "labelnoise.report"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The files of the page in the working directory, which is not on Python's path."""
    for before, language, content in fences(PAGE):
        if language != "sh":
            path = tmp_path / before.strip("`")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [word for word in sys.path if word])
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "my_project"]:
        del sys.modules[name]


def commands() -> list[str]:
    return [
        line for _, language, text in fences(PAGE) if language == "sh" for line in text.splitlines()
    ]


def test_a_network_in_a_folder_of_ones_own_is_trained_and_named_by_its_path(folder: Path) -> None:
    words = ["data=digits", "model=my_net", "model.width=4", "monitor=none", *TINY, "max_epochs=1"]
    with config_dir_of(["--config-dir", "my_conf", *words]):
        cfg = compose(latest(*words))
        with pytest.raises(
            InputError, match=r"my_project.nets.MyNet is not allowed: .*allow_targets"
        ):
            check(cfg)
        cfg.allow_targets = ["my_project"]
        check(cfg)
        assert train(cfg, folder / "run")["step"] == 12  # 1,167 samples in batches of 100
    assert sys.path[-1] == str(folder)
    assert settings_of(as_dict(cfg))["model"] == "my_project.nets.MyNet"
    assert own_config_dir() is None


@pytest.mark.slow
def test_every_command_of_the_page_works(folder: Path) -> None:
    for command in commands():
        perform(command)
    runs = {path.name for path in (folder / "outputs").iterdir()}
    assert runs == {"net", "typed", "experiment", "loss", "technique", "monitor", "data", "sweep"}
    assert "weights/norm" in (folder / "outputs/monitor/metrics.csv").read_text()
    assert "my_project.nets.MyNet" in (folder / "outputs/sweep/sweep.csv").read_text()
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)  # the module is found beside the folder of --config-dir
    perform(commands()[0].replace("my_conf", str(folder / "my_conf")))


def perform(command: str) -> str:
    door, *words = shlex.split(command)
    if door == "labelnoise" and not any(word.startswith("resume=") for word in words):
        words += TINY
    done = subprocess.run(
        [sys.executable, *DOORS[door], *words], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_a_file_that_hydra_would_ignore_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "cnn.yaml").touch()
    with (
        config_dir_of([f"--config-dir={tmp_path}"]),
        pytest.raises(InputError, match="cnn.yaml has"),
    ):
        check_own_names()
    with config_dir_of(["-cd", "nowhere"]):
        check_own_names()


def test_the_command_to_resume_names_the_door_and_the_modules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doors = {"/bin/labelnoise": "labelnoise", "/x/run.py": "python /x/run.py", "a": "python run.py"}
    for script, words in doors.items():
        monkeypatch.setattr(sys, "argv", [script])
        assert resume_command(Path("d"), ["m"]) == f"{words} resume=d allow_targets=[m]"
        assert resume_command(Path("d")) == f"{words} resume=d"


ODD = """
from pytorch_lightning import Callback
from torch import nn
from torch.nn.functional import cross_entropy as mean_loss

class Back(Callback): pass
class Plain:
    def __init__(self, input_shape, num_classes): pass
class Wide(nn.Sequential):
    def __init__(self, input_shape, num_classes):
        super().__init__(nn.Flatten(), nn.LazyLinear(num_classes + 1))
class Flat(nn.Sequential):
    def __init__(self, input_shape, num_classes): super().__init__(nn.Linear(9, num_classes))
def mean(logits, label): return mean_loss(logits, label)
"""
WRONG = {
    "model._target_=odd_parts.Plain": "model is a Plain: write a subclass of torch.nn.Module",
    "model._target_=odd_parts.Wide": r"Wide must return logits of shape \(2, 10\) .*got \(2, 11\)",
    "model._target_=odd_parts.Flat": r"Flat fails on a batch of shape \(2, 1, 8, 8\): RuntimeError",
    "+technique.x._target_=odd_parts.Back": "technique.x is a Back: write a subclass",
    "+technique.x._target_=odd_parts.mean +technique.x._partial_=true": "loss mean must return one",
    "+technique.x._target_=odd_parts.mean": "lacks the arguments 'logits' and 'label': write _part",
    "+monitor.x._target_=odd_parts.Back": "monitor.x is a Back: write a subclass",
    "model._target_=odd_parts.Nothing": "model._target_=odd_parts.Nothing does not exist in odd",
    "model._target_=no_parts.X": "No module named 'no_parts', write the command in the folder",
}


@pytest.mark.parametrize("words", WRONG)
def test_a_part_of_another_kind_or_shape_is_refused_in_one_line(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labelnoise.config.replaced import drop_replaced_options

    (tmp_path / "odd_parts.py").write_text(ODD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    typed = words.split()
    cfg = compose(["data=digits", "model=cnn", "allow_targets=[odd_parts,no_parts]", *TINY, *typed])
    with pytest.raises(Exception) as raised:
        drop_replaced_options(cfg, typed)
        train(cfg, tmp_path / "run")
    line = explain(raised.value)
    assert line is not None and "\n" not in line and re.search(WRONG[words], line), line
    sys.modules.pop("odd_parts", None)


def test_a_command_without_words_has_no_folder() -> None:
    with config_dir_of([]):
        assert own_config_dir() is None
