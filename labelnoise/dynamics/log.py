"""Per-sample measurements on disk: memory-mapped arrays with a row for each epoch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from filelock import FileLock, Timeout
from numpy.lib.format import open_memmap

from labelnoise.dynamics.measurements import KEPT_AS, Measurements
from labelnoise.errors import InputError
from labelnoise.files.writing import part_of, rename, replacing

# The checksums of a log without rows.
_NO_ROWS = dict.fromkeys(("step", *KEPT_AS), "")


class DynamicsLog:
    """The folder ``dynamics`` of a run, open for reading or for one writer.

    ``loss.npy``, ``probability.npy``, ``margin.npy`` and ``prediction.npy`` have shape (rows, n);
    open them by ``numpy.load(path, mmap_mode="r")``. ``step.npy`` (rows,) has the optimizer step of
    each row. During a run the files have the length of the longest possible run, and the rows to
    come have the step -1. :meth:`close` cuts the files to the written rows. The step of a row is
    written last, so a row with a step is complete also in a killed run.

    Attributes:
        path: the folder.
        step: (rows,) int64.
        arrays: by name, each (rows, n), on disk.
        checksums: by file, a chained SHA-256 of the written rows.
    """

    def __init__(self, path: Path, mode: str = "r") -> None:
        self.path = path
        self.step: np.memmap[Any, np.dtype[np.int64]] = _opened(path / "step.npy", mode)
        self.arrays = {name: _opened(path / f"{name}.npy", mode) for name in KEPT_AS}
        self.checksums = dict(_NO_ROWS)
        self._lock: FileLock | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        n: int,
        rows: int,
        kept_until: int,
        checksums: Mapping[str, str] | None = None,
    ) -> DynamicsLog:
        """Open for writing; create files for up to ``rows`` rows of ``n`` samples if needed.

        Args:
            path: the folder.
            n: number of samples.
            rows: the largest number of rows that the run may write.
            kept_until: the step of the last row to keep. Later rows are dropped, because a resumed
                run measures them again. A negative number drops all rows.
            checksums: the :attr:`checksums` of the rows to keep; None checks nothing.

        Raises:
            InputError: another process writes there, or the rows to keep are damaged or missing.
        """
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(
                f"another run is writing its dynamics to {path}: give each run a directory"
            ) from None
        try:
            if kept_until < 0:
                _create(path, n, rows)
            log = cls(path, "r+")
            log._level()
            log._keep(n, kept_until, checksums)
            if len(log.step) < rows:  # `close` has cut it, and the run was killed later
                _lengthen(log, rows)
                lengthened = cls(path, "r+")
                lengthened.checksums = log.checksums
                log = lengthened
        except InputError:
            lock.release()
            raise
        log._lock = lock
        return log

    def _level(self) -> None:
        """Ignore empty rows at the end of some files; a full disk can end :meth:`close` halfway."""
        common = min(map(len, (self.step, *self.arrays.values())))
        if not (self.step[common:] >= 0).any():
            self.step = cast(Any, self.step[:common])  # numpy: a slice of a memmap is a memmap
            self.arrays = {k: cast(Any, array[:common]) for k, array in self.arrays.items()}

    def _keep(self, n: int, kept_until: int, checksums: Mapping[str, str] | None) -> None:
        """Drop the rows after a step, and check the others."""
        advice = f"delete {self.path.parent} to train this run from its start"
        for name, array in self.arrays.items():
            if array.shape != (len(self.step), n):
                shape = " x ".join(map(str, array.shape))
                raise InputError(
                    f"{self.path / name}.npy has the dynamics of {array.shape[-1]} samples but "
                    f"this run has {n} ({shape} values for {len(self.step)} rows): {advice}"
                )
        self.step[self.step > kept_until] = -1
        self.step.flush()
        for row in range(len(self)):
            self._add_to_checksums(row)
        for name, checksum in (checksums or {}).items():
            if self.checksums[name] != checksum:
                raise InputError(
                    f"{self.path / name}.npy is damaged: its rows differ from the rows that the "
                    f"run wrote: {advice}"
                )

    def _add_to_checksums(self, row: int) -> None:
        for name, array in {"step": self.step, **self.arrays}.items():
            content = self.checksums[name].encode() + np.asarray(array[row]).tobytes()
            self.checksums[name] = hashlib.sha256(content).hexdigest()

    def __len__(self) -> int:
        """Number of written rows."""
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
        """Write the next row with the types of `as_kept`, and then its step."""
        row = len(self)
        for name, values in measured._asdict().items():
            self.arrays[name][row] = values
            self.arrays[name].flush()
        self.step[row] = step
        self.step.flush()
        self._add_to_checksums(row)

    def close(self) -> None:
        """Cut the files to the written rows and release them."""
        rows = len(self)
        for name, array in {"step": self.step, **self.arrays}.items():
            if len(array) > rows:
                with replacing(self.path / f"{name}.npy") as file:
                    np.save(file, np.array(array[:rows]), allow_pickle=False)
        self.release()

    def release(self) -> None:
        """Release the lock, so that another process can write (to resume an interrupted run)."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _opened(file: Path, mode: str) -> np.memmap[Any, Any]:
    try:
        return open_memmap(file, mode=mode)
    except (OSError, ValueError) as error:
        state = "is damaged" if file.exists() else "is missing"
        raise InputError(
            f"{file.parent} has no readable per-sample log, because {file} {state}: start the "
            "run again under another name, with monitor=[memorization,dynamics]"
        ) from error


def _lengthen(log: DynamicsLog, rows: int) -> None:
    """Lengthen the files to ``rows`` rows; each file is replaced as a whole."""
    for name, array in {**log.arrays, "step": log.step}.items():  # the step file last
        path = log.path / f"{name}.npy"
        longer = _allocate(part_of(path), array.dtype, (rows, *array.shape[1:]))
        longer[: len(array)] = array
        longer[len(array) :] = -1
        longer.flush()
        rename(part_of(path), path)


def _create(path: Path, n: int, rows: int) -> None:
    for name, dtype in KEPT_AS.items():
        _allocate(path / f"{name}.npy", dtype, (rows, n))
    # Last, so that a folder with a step file has all arrays.
    step = _allocate(path / "step.npy", np.int64, (rows,))
    step[:] = -1
    step.flush()


def _allocate(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """A memory-mapped array with its disk space allocated immediately.

    Without this, writing to a sparse file on a full disk would kill the process with a signal.
    """
    array = open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    array.flush()
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
    return array
