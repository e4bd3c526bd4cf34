"""The study of a search: a journal file of Optuna in the folder of the sweep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from labelnoise.config.score import SCORES
from labelnoise.errors import BusyError, InputError

if TYPE_CHECKING:  # an extra
    from optuna import Study
    from optuna.pruners import BasePruner

Pruner = Literal["none", "median", "hyperband"]
JOURNAL = "search.journal"
# The attribute of a trial that ended early.
PRUNED = "pruned"
# The attribute of a trial with a process that ended without a result.
DIED = "died"
_NAME = "search"


def check_installed() -> None:
    """Refuse a search without Optuna.

    Raises:
        InputError: the package is not installed.
    """
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            "hydra/sweeper=optuna needs the package optuna: pip install optuna"
        ) from error


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from running the search of a folder.

    Raises:
        BusyError: another process runs the search.
    """
    lock = FileLock(folder / ".search.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(f"another process runs the search in {folder}") from None
    try:
        yield
    finally:
        lock.release()


def open_study(folder: Path, facts: Mapping[str, Any], pruner: Pruner) -> Study:
    """The study in the folder of a sweep; a new study if there is none.

    Raises:
        InputError: the folder has the study of another search.
    """
    _drop_torn_line(folder / JOURNAL)
    study = open_journal(folder, SCORES[facts["score"]].direction, pruner_of(pruner))
    known = study.user_attrs
    for key, value in facts.items():
        if key not in known:
            study.set_user_attr(key, value)
        elif known[key] != value:
            raise InputError(
                f"{folder} has a search with {key} {known[key]}, not {value}: choose another name="
            )
    return study


def open_journal(
    folder: Path, direction: Literal["maximize", "minimize"], pruner: BasePruner
) -> Study:
    """The study in the journal of a folder; a new study if there is none."""
    import optuna
    from optuna.storages import JournalStorage

    from labelnoise.sweeps.journal import Journal

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=_NAME,
        storage=JournalStorage(Journal(folder / JOURNAL)),
        direction=direction,
        pruner=pruner,
        load_if_exists=True,
    )


def pruner_of(name: Pruner) -> BasePruner:
    """Optuna's pruner of this name."""
    from optuna import pruners

    return {
        "none": pruners.NopPruner,
        "median": pruners.MedianPruner,
        "hyperband": pruners.HyperbandPruner,
    }[name]()


def _drop_torn_line(journal: Path) -> None:
    """Remove an incomplete last line, which a killed process or a full disk left."""
    if not journal.is_file():
        return
    with journal.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
