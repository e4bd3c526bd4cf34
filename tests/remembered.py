"""Compositions of tests: those of Hydra, with each choice of files composed once."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from labelnoise.config import CONF_DIR


class Remembered:
    """Composes as Hydra does; `tests/config/test_composition.py` compares the two."""

    def __init__(self, original: Callable[..., DictConfig]) -> None:
        self.original = original
        self.composed: dict[tuple[str, ...], bytes] = {}
        self.read: dict[tuple[str, ...], bytes] = {}

    def __call__(self, config_name: str, overrides: list[str]) -> DictConfig:
        choices = [word for word in overrides if is_choice(word)]
        values = [word for word in overrides if word not in choices]
        if not values:
            return self.with_choices(config_name, choices)
        try:
            cfg = self.with_choices(config_name, choices)
            parsed = OverridesParser.create().parse_overrides(values)
            assert not any(override.is_sweep_override() for override in parsed)
            ConfigLoaderImpl._apply_overrides_to_config(parsed, cfg)
        except Exception:  # the message is to be Hydra's
            return self.original(config_name, overrides=overrides)
        return cfg

    def with_choices(self, config_name: str, choices: list[str]) -> DictConfig:
        path = GlobalHydra.instance().config_loader().get_search_path()
        key = (str(path), config_name, *choices)
        if key not in self.composed:
            with self.remembered_files():
                self.composed[key] = pickle.dumps(self.original(config_name, overrides=choices))
        cfg: DictConfig = pickle.loads(self.composed[key])
        return cfg

    @contextmanager
    def remembered_files(self) -> Iterator[None]:
        original = ConfigRepository.load_config

        def load_config(repository: ConfigRepository, config_path: str) -> Any:
            key = (*(source.path for source in repository.sources), config_path)
            if key not in self.read:
                self.read[key] = pickle.dumps(original(repository, config_path))
            return pickle.loads(self.read[key])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ConfigRepository, "load_config", load_config)
            yield


GROUPS = {path.name for path in CONF_DIR.iterdir() if path.is_dir()}


def is_choice(word: str) -> bool:
    """Whether a word chooses a file of conf/ or leaves one out; other words set a value."""
    key = word.partition("=")[0].lstrip("+")
    return key.startswith("~") or re.split("[/@]", key)[0] in GROUPS
