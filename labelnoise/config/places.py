"""Where a run or a sweep lies: within output_dir, and without a trace where it is refused."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from labelnoise.errors import InputError

# The folders that Hydra makes for this process, deepest first.
_made: list[Path] = []


class Places(Callback):
    """Hydra's callback: looks at a run's or a sweep's place before Hydra makes the directory.

    A name that leads out of output_dir is refused; the folders that are not there yet are
    remembered, so that a run that is refused leaves none of them behind.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._enter(config, config.hydra.run.dir)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._enter(config, config.hydra.sweep.dir)

    @staticmethod
    def _enter(config: DictConfig, directory: str) -> None:
        try:
            check_name(config.name)
        except InputError as error:  # of an exception Hydra makes a warning, and goes on
            sys.stderr.write(f"error: {error}\n")
            raise SystemExit(1) from None
        place = Path(directory).absolute()
        _made[:] = [folder for folder in (place, *place.parents) if not folder.exists()]


def remove_made() -> None:
    """Of the folders that Hydra made, remove those in which nothing was left, deepest first."""
    if _made and {entry.name for entry in _entries(_made[0])} == {"multirun.yaml"}:
        with suppress(OSError):
            (_made[0] / "multirun.yaml").unlink()
    for folder in _made:
        with suppress(OSError):  # refuses where there is something in it
            folder.rmdir()


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def check_name(name: str) -> None:
    """Refuse a name that is no folder within output_dir.

    Raises:
        InputError: it is absolute, leads upwards, or is output_dir itself.
    """
    path = PurePath(str(name))
    if path.is_absolute() or ".." in path.parts or path == PurePath():
        raise InputError(
            f"name={name} is no folder within output_dir: write a name, and where runs lie as "
            "output_dir=..."
        )
