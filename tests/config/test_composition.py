"""The tests' own way to compose gives what Hydra gives."""

from __future__ import annotations

import hydra
import pytest
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import register_schema
from tests.conftest import TINY, TINY_IMAGES, Remembered, latest

WORDS = [
    [],
    [*TINY, "technique=[elr,mixup]", "technique.elr.beta=0.3", "seed=5"],
    latest(*TINY_IMAGES, "data.root=x", "+trainer.limit_train_batches=2", "batch_size=null"),
    ["experiment=stoppers", "noise_rate=0.4", "~logger.tensorboard"],
    ["technique_preset=one", "technique=gce", "optimizer.lr=${noise_rate}", "name=a"],
]


@pytest.mark.parametrize("words", WORDS)
def test_values_set_afterwards_are_those_of_hydra(words: list[str]) -> None:
    remembered = hydra.compose
    assert isinstance(remembered, Remembered)
    register_schema()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        theirs = remembered.original("config", overrides=words)
        ours = remembered("config", overrides=words)
    for cfg in (ours, theirs):
        assert OmegaConf.is_struct(cfg)
        OmegaConf.update(cfg, "name", "a")  # its default is the time
    assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(theirs)
    assert OmegaConf.to_yaml(ours, resolve=True) == OmegaConf.to_yaml(theirs, resolve=True)
