"""The directory of an audit."""

from __future__ import annotations

from typing import Any

from labelnoise.errors import InputError
from labelnoise.run_directory import RunDirectory


class AuditDirectory:
    """The paths of the files of an audit, beside those of its folds."""

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.suspects = run.suspects
        self.probabilities = run.path / "probabilities.npy"
        self.audit = run.path / "audit.json"

    def read(self) -> dict[str, Any]:
        """The contents of audit.json.

        Raises:
            InputError: there is no finished audit, or the file is damaged.
        """
        if not self.audit.is_file():
            raise InputError(f"{self.run.path} holds no finished audit: it has no audit.json")
        return self.run.read_json(self.audit)
