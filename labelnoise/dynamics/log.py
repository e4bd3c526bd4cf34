"""Per-sample measurements on disk: memory-mapped arrays with a row an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib.format import open_memmap

from labelnoise.dynamics.measurements import KEPT_AS, Measurements
from labelnoise.errors import InputError


class DynamicsLog:
    """The folder ``dynamics`` of a run, open for reading or for one writer.

    ``loss.npy``, ``probability.npy``, ``margin.npy`` and ``prediction.npy`` have shape (rows, n)
    and are opened by ``numpy.load(path, mmap_mode="r")``; ``step.npy`` (rows,) tells the optimizer
    step of each row. While a run goes on they are as long as the run may become, with step -1 in
    rows to come; :meth:`close` cuts them to what was written. A row's step is written after the
    row: where a run is killed, a row with a step is whole.

    Attributes:
        path: the folder.
        step: (rows,) int64.
        arrays: by name, each (rows, n), on disk.
    """

    def __init__(self, path: Path, mode: str = "r") -> None:
        self.path = path
        try:
            self.step: np.memmap[Any, np.dtype[np.int64]] = open_memmap(
                path / "step.npy", mode=mode
            )
            self.arrays = {name: open_memmap(path / f"{name}.npy", mode=mode) for name in KEPT_AS}
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} holds no readable per-sample log: it is damaged, or the run had no "
                "monitor=[memorization,dynamics]"
            ) from error
        self._lock: FileLock | None = None

    @classmethod
    def open(cls, path: Path, n: int, rows: int, kept_until: int) -> DynamicsLog:
        """Open for writing, making files for up to ``rows`` rows of ``n`` samples where needed.

        Rows of steps after ``kept_until`` are forgotten: a resumed run measures them again. Below 0
        everything is.

        Raises:
            InputError: another process writes there, or what is there has another shape.
        """
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(
                f"another run is writing its dynamics to {path}: give each run a directory"
            ) from None
        if kept_until < 0 or not (path / "step.npy").exists():
            _create(path, n, rows)
        log = cls(path, "r+")
        log._lock = lock
        found = log.arrays["loss"].shape
        if found[1] != n:
            lock.release()
            raise InputError(
                f"{path} holds the dynamics of {found[1]} samples, this run has {n}: give it a "
                "directory of its own"
            )
        if found[0] < rows:  # cut by `close`, as where a run was killed while it reported
            _lengthen(log, rows)
            log = cls(path, "r+")
            log._lock = lock
        log.step[log.step > kept_until] = -1
        log.step.flush()
        return log

    def __len__(self) -> int:
        """The rows that were written."""
        return int((self.step >= 0).sum())

    def __iter__(self) -> Iterator[Measurements]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Measurements:
        """One row, read into memory."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        row %= len(self)
        return Measurements(**{name: np.array(array[row]) for name, array in self.arrays.items()})

    def append(self, step: int, measured: Measurements) -> None:
        """Write the next row, in the types of `as_kept`, and then its step."""
        row = len(self)
        for name, values in measured._asdict().items():
            self.arrays[name][row] = values
            self.arrays[name].flush()
        self.step[row] = step
        self.step.flush()

    def close(self) -> None:
        """Cut the files to the rows that were written and let go of them."""
        rows = len(self)
        for name, array in {"step": self.step, **self.arrays}.items():
            if len(array) > rows:
                part = self.path / f"{name}.part"
                with part.open("wb") as file:
                    np.save(file, np.array(array[:rows]), allow_pickle=False)
                part.replace(self.path / f"{name}.npy")
        self.release()

    def release(self) -> None:
        """Let another writer in, as where a run was interrupted and will be resumed."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _lengthen(log: DynamicsLog, rows: int) -> None:
    """Make room for ``rows`` rows; each file is replaced whole."""
    for name, array in {**log.arrays, "step": log.step}.items():  # the steps last
        part = log.path / f"{name}.part"
        longer = open_memmap(part, mode="w+", dtype=array.dtype, shape=(rows, *array.shape[1:]))
        longer[: len(array)] = array
        longer[len(array) :] = -1
        longer.flush()
        part.replace(log.path / f"{name}.npy")


def _create(path: Path, n: int, rows: int) -> None:
    for name, dtype in KEPT_AS.items():
        open_memmap(path / f"{name}.npy", mode="w+", dtype=dtype, shape=(rows, n)).flush()
    # Last: a folder with steps has all arrays.
    step = open_memmap(path / "step.npy", mode="w+", dtype=np.int64, shape=(rows,))
    step[:] = -1
    step.flush()
