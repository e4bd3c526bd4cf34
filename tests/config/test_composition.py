"""The tests' own way to compose gives what Hydra gives."""

from __future__ import annotations

import hydra
import pytest
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from labelnoise.audit import config as audit
from labelnoise.config import CONF_DIR, composition
from labelnoise.phase_diagram import config as phase_diagram
from tests.conftest import TINY, TINY_IMAGES, latest
from tests.remembered import Remembered

WORDS: list[tuple[str, list[str]]] = [
    ("config", []),
    ("config", [*TINY, "technique=[elr,mixup]", "technique.elr.beta=0.3", "seed=5"]),
    (
        "config",
        latest(*TINY_IMAGES, "data.root=x", "+trainer.limit_train_batches=2", "batch_size=null"),
    ),
    ("config", ["experiment=stoppers", "noise_rate=0.4", "~logger.tensorboard"]),
    ("config", ["technique_preset=one", "technique=gce", "optimizer.lr=${noise_rate}", "name=a"]),
    ("phase_diagram", ["diagram=benign_map", "steps=7", "x={name: m, values: [1]}", "merge=[a]"]),
    ("audit", ["folds=3", "model=mlp", "output_dir=/a/b", "rerun=true", "data.root=x"]),
]


@pytest.mark.parametrize(("name", "words"), WORDS)
def test_values_set_afterwards_are_those_of_hydra(name: str, words: list[str]) -> None:
    remembered = hydra.compose
    assert isinstance(remembered, Remembered)
    for room in (composition, phase_diagram, audit):
        room.register_schema()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        theirs = remembered.original(name, overrides=words)
        ours = remembered(name, overrides=words)
    for cfg in (ours, theirs):
        assert OmegaConf.is_struct(cfg)
        OmegaConf.update(cfg, "name", "a")  # its default is the time
    assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(theirs)
    assert OmegaConf.to_yaml(ours, resolve=True) == OmegaConf.to_yaml(theirs, resolve=True)
