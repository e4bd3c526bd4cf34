"""The journal file of a search: Optuna's, with a checksum in each line and a lock of the kernel."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.storages.journal import JournalFileBackend

from labelnoise.errors import InputError
from labelnoise.files.writing import checksum_of


class Journal(JournalFileBackend):
    """A journal file that refuses damaged lines.

    Lines without a checksum, as Optuna writes them, are read too.
    """

    def __init__(self, path: Path) -> None:
        lock: Any = _KernelLock(path.with_name(f".{path.name}.lock"))
        super().__init__(str(path), lock)
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        plain = json.loads(json.dumps(logs))
        super().append_logs([log | {"sha256": checksum_of(log)} for log in plain])

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The lines from a number on, as Optuna wrote them.

        Raises:
            InputError: a line is damaged.
        """
        number = log_number_from
        try:
            for log in super().read_logs(log_number_from):
                checksum = log.pop("sha256", None)
                if checksum not in (None, checksum_of(log)):
                    raise ValueError("its checksum differs")
                number += 1
                yield log
        except (ValueError, AttributeError) as error:
            raise InputError(
                f"{self._path} is damaged after line {number} ({error}): choose another name="
            ) from error


class _KernelLock:
    """A lock that the kernel releases when its process ends.

    A killed process leaves the lock of Optuna behind. Other processes then wait for 30 s, or for
    ever if the path of the journal is relative.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        self._lock.acquire()
        return True

    def release(self) -> None:
        self._lock.release()
