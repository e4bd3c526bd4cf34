"""Where the user's own parts are: the folder of ``--config-dir``, and the folders of modules."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from labelnoise.config import CONF_DIR
from labelnoise.errors import InputError

# An environment variable, because the processes of a run and the jobs on a cluster inherit it.
_VARIABLE = "LABELNOISE_CONFIG_DIR"


@contextmanager
def config_dir_of(words: Sequence[str]) -> Iterator[None]:
    """Remember the ``--config-dir`` of a command line for this process and those that it starts."""
    before = os.environ.pop(_VARIABLE, None)
    for flag in ("--config-dir", "-cd"):
        for word, following in zip(words, [*words, ""][1:], strict=True):
            name, equals, value = word.partition("=")
            if name == flag:
                os.environ[_VARIABLE] = os.path.abspath(value if equals else following)
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
        if before is not None:
            os.environ[_VARIABLE] = before


def check_own_names() -> None:
    """Refuse a file that would be ignored, because Hydra takes the file of conf/ in its place.

    Raises:
        InputError: a file in ``--config-dir`` has the path of a file in conf/.
    """
    own = own_config_dir()
    if own is None or own == CONF_DIR:
        return
    for path in sorted(file.relative_to(CONF_DIR) for file in CONF_DIR.rglob("*.yaml")):
        if (own / path).exists():
            raise InputError(
                f"{own / path} has the name of a file of labelnoise: choose another name"
            )


def own_config_dir() -> Path | None:
    """The folder of ``--config-dir``; None without it."""
    folder = os.environ.get(_VARIABLE)
    return None if folder is None else Path(folder)


def config_file(group: str, name: str) -> Path | None:
    """The file of the choice ``group=name``: in conf/, or the user's own one; or None."""
    return next((path for path in config_files(group) if path.stem == name), None)


def config_files(group: str) -> list[Path]:
    """The files of a group, sorted: those in conf/, then those in ``--config-dir``."""
    folders = [CONF_DIR, own_config_dir()]
    return [
        path
        for folder in folders
        if folder is not None
        for path in sorted((folder / group).glob("*.yaml"))
    ]


def make_importable() -> None:
    """Add the working directory and the folder that has ``--config-dir`` to Python's path.

    They come last, so a file in them hides no installed module. The processes of a run get the same
    path.
    """
    own = own_config_dir()
    folders = [os.getcwd()] if own is None else [os.getcwd(), str(own.parent)]
    sys.path += [folder for folder in folders if folder not in sys.path]
