"""A run read back from its directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelnoise.history import History
from labelnoise.run_directory import RunDirectory


@dataclass(frozen=True)
class LoadedRun:
    """What a finished run left: its summary and its curves.

    Example:
        ``load_run("outputs/NAME").history.series("train/acc_noisy")`` gives steps and values.
    """

    directory: RunDirectory
    summary: dict[str, Any]
    history: History

    def coefficients(self) -> dict[str, NDArray[Any]]:
        """The arrays of coefficients.npz; see :class:`labelnoise.monitors.CoefficientMonitor`."""
        with np.load(self.directory.coefficients, allow_pickle=False) as arrays:
            return dict(arrays)


def load_run(path: str | Path) -> LoadedRun:
    """Read the run that finished in ``path``.

    Raises:
        InputError: no finished run lies there.
    """
    directory = RunDirectory(Path(path))
    return LoadedRun(directory, directory.read_summary(), History.read_csv(directory.metrics))
