"""Every YAML file composes, and every part it names can be built."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_class, get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from labelnoise.audit.predictions import Predictions
from labelnoise.config import CONF_DIR
from labelnoise.config.composition import check, compose

FILES = sorted(
    path.relative_to(CONF_DIR).with_suffix("")
    for path in CONF_DIR.rglob("*.yaml")
    if path.parent != CONF_DIR and "hydra" not in path.parts
)
GROUPS = ("noise", "model", "optimizer", "scheduler", "technique", "monitor", "trainer")
SETTINGS = ("data", "experiment", "logger", "technique_preset")
OTHER_DOOR = ("diagram",)  # of phase_diagram.py, see tests/phase_diagram
MANDATORY = {"noise/human": ["noise.path=x"], "noise/human_twin": ["noise.path=x"],
             "noise/file": ["noise.path=x"], "experiment/human_and_twin": ["noise.path=x"],
             "noise/matrix": ["noise.matrix=x"], "data/image_folder": ["data.root=x"],
             "data/image_table": ["data.table=x"], "data/features": ["data.path=x"],
             "data/predictions": ["data.probabilities=x", "data.labels=x"]}  # fmt: skip


def test_there_are_files_in_every_group() -> None:
    assert {path.parts[0] for path in FILES} == {*GROUPS, *SETTINGS, *OTHER_DOOR}


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.parts[0] not in OTHER_DOOR], ids=str
)
def test_it_composes_and_its_parts_can_be_built(path: Path) -> None:
    group, choice = path.parts
    cfg = compose([f"{group}={choice}", *MANDATORY.get(str(path), [])])
    check(cfg)
    for name in [group] if group in GROUPS else GROUPS:
        instantiate(cfg[name])
    data = instantiate(cfg.data)
    if group in ("data", "noise", "experiment") and not isinstance(data, Predictions):
        data(noise=instantiate(cfg.noise))
    for logger in cfg.logger.values():
        get_class(logger._target_)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_its_first_lines_say_what_it_is(path: Path) -> None:
    lines = (CONF_DIR / path).with_suffix(".yaml").read_text().splitlines()
    comments = [line for line in lines if line.startswith("# ") and "@package" not in line]
    assert comments and len(comments[0]) > 10


def options(cls: Any) -> set[str]:
    """The names a constructor or function takes, through ``**options`` handed to a base."""
    parameters = inspect.signature(cls).parameters.values()
    names = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    if len(names) < len(parameters):
        # A base's arguments that the class itself fills in are no options of the class.
        names |= options(cls.__base__) - {"mean", "std"}
    return names


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if p.parts[0] in ("data", "noise", "model", "technique", "monitor")],
    ids=str,
)
def test_every_option_of_its_classes_is_named_in_it(path: Path) -> None:
    """An option that no file names cannot be found, nor set without a plus."""
    given_by_train = {"noise", "input_shape", "num_classes", "logits", "label"}
    group, choice = path.parts
    node = compose([f"{group}={choice}", *MANDATORY.get(str(path), [])])[group]
    for part in [node] if "_target_" in node else list(node.values()):
        missing = options(get_object(part._target_)) - given_by_train - set(map(str, part))
        assert not missing, f"{part._target_} has {missing}"


def test_experiments_say_the_command_that_runs_them() -> None:
    for path in FILES:
        door = {"experiment": "run", "diagram": "phase_diagram"}.get(path.parts[0])
        if door is not None:
            text = (CONF_DIR / path).with_suffix(".yaml").read_text()
            assert re.search(rf"#\s+python {door}.py .*{path.parts[0]}={path.parts[1]}", text)


def test_several_techniques_come_as_a_list() -> None:
    cfg = compose(["technique=[early_stop,sample_selection]"])
    assert list(cfg.technique) == ["early_stop", "sample_selection"]
    assert isinstance(OmegaConf.create(cfg.technique), DictConfig)
