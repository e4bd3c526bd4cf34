"""The directory of a run or a sweep: check it, and remove it if the run is refused."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from labelnoise.errors import InputError

# The folders that Hydra creates for this process, deepest first.
_made: list[Path] = []
# The entries of a sweep before its first job has a directory.
_OF_A_SWEEP = {"multirun.yaml", "ledger.jsonl", ".ledger.lock", ".submitit"}


class Places(Callback):
    """A Hydra callback that checks the directory of a run or a sweep before Hydra creates it.

    It refuses a name that leads out of output_dir. It remembers the folders that do not exist yet,
    so that they can be removed if the run is refused.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._enter(config, config.hydra.run.dir)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._enter(config, config.hydra.sweep.dir)

    @staticmethod
    def _enter(config: DictConfig, directory: str) -> None:
        try:
            check_name(config.name)
        except InputError as error:  # Hydra would turn an exception into a warning and continue
            sys.stderr.write(f"error: {error}\n")
            raise SystemExit(1) from None
        place = Path(directory).absolute()
        _made[:] = [folder for folder in (place, *place.parents) if not exists(folder)]


def exists(folder: Path) -> bool:
    """Whether a folder exists; False if the system refuses to look, and then it refuses to write.

    ``Path.exists`` raises these errors, and Hydra turns an error in a callback into a warning.
    """
    return os.path.exists(folder)


def remove_made() -> None:
    """Remove the folders that Hydra created, deepest first, if no job has written anything."""
    if (
        _made
        and os.path.isdir(_made[0])
        and {entry.name for entry in _made[0].iterdir()} <= _OF_A_SWEEP
    ):
        shutil.rmtree(_made[0] / ".submitit", ignore_errors=True)
        for name in _OF_A_SWEEP:
            (_made[0] / name).unlink(missing_ok=True)
    for folder in _made:
        with suppress(OSError):  # fails if the folder is not empty
            folder.rmdir()


def check_name(name: str) -> None:
    """Refuse a name that is not a folder within output_dir.

    Raises:
        InputError: the name is absolute, contains "..", is output_dir itself, or has characters
            that cannot be printed, for example a newline.
    """
    if not str(name).isprintable():
        raise InputError(
            f"name={str(name)!r} has characters that cannot be printed: write a name without them"
        )
    path = PurePath(str(name))
    if path.is_absolute() or ".." in path.parts or path == PurePath():
        raise InputError(
            f"name={name} is not a folder within output_dir: write a plain name, and set the "
            "folder of the runs by output_dir=..."
        )
