"""Read a run from its directory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from labelnoise.dynamics.log import DynamicsLog
from labelnoise.dynamics.scores import RunningScores
from labelnoise.errors import InputError, reason_of
from labelnoise.learner.history import History
from labelnoise.noise.truth import known
from labelnoise.run_directory import RunDirectory

SAMPLES = ("label", "source_index", "name", "class_names")


@dataclass(frozen=True)
class LoadedRun:
    """A finished run: its summary, its metrics and its resolved configuration.

    Example:
        ``load_run("outputs/NAME").history.series("train/acc_noisy")`` gives steps and values.
    """

    directory: RunDirectory
    summary: dict[str, Any]
    history: History
    config: dict[str, Any] = field(default_factory=dict)

    def coefficients(self) -> dict[str, NDArray[Any]]:
        """The arrays of coefficients.npz; see :class:`labelnoise.monitors.CoefficientMonitor`."""
        return self._arrays(self.directory.coefficients)

    def gradients(self) -> dict[str, NDArray[Any]]:
        """The arrays of gradients.npz; see :class:`labelnoise.monitors.GradientMonitor`."""
        return self._arrays(self.directory.gradients)

    def _arrays(self, path: Path) -> dict[str, NDArray[Any]]:
        self.directory.manifest.check(path)
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)

    def dynamics(self) -> LoadedDynamics:
        """The per-sample log; see :class:`labelnoise.monitors.DynamicsMonitor`."""
        return read_dynamics(self.directory)


@dataclass(frozen=True)
class LoadedDynamics:
    """The per-sample log of a run, with the description of its columns.

    Attributes:
        log: the rows; ``log.arrays["margin"]`` is (rows, n), on disk.
        label, source_index: (n,).
        clean_label_if_known: (n,); None if the true labels are unknown.
        name: (n,) file names for an image folder, else positions in the published data set.
        class_names: (K,).
        scores: the scores over the rows.
    """

    log: DynamicsLog
    label: NDArray[np.int64]
    source_index: NDArray[np.int64]
    name: NDArray[Any]
    class_names: NDArray[Any]
    scores: RunningScores
    clean_label_if_known: NDArray[np.int64] | None = None

    @property
    def truth_known(self) -> bool:
        """Whether the true labels are known."""
        return self.clean_label_if_known is not None

    @property
    def clean_label(self) -> NDArray[np.int64]:
        """(n,), the true labels; raises UnknownTruth if they are unknown."""
        return known(self.clean_label_if_known)

    @property
    def is_noisy(self) -> NDArray[np.bool_]:
        """(n,), whether the given label differs from the true label; raises UnknownTruth."""
        return self.label != self.clean_label


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors from reading the files of a run into an InputError of one line."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} is not complete: it lacks {error.filename}") from error
    except (ValueError, KeyError, IndexError, TypeError, OSError, BadZipFile) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the file is not damaged
            raise
        line = f"{path} cannot be read because a file is damaged: {reason_of(error)}"
        raise InputError(line) from error


def read_dynamics(run: RunDirectory, rows: int | None = None) -> LoadedDynamics:
    """Read the per-sample log of a finished run.

    Args:
        run: the run directory.
        rows: number of first rows for the scores; None for all.

    Raises:
        InputError: the run has no per-sample log.
    """
    log = DynamicsLog(run.dynamics)
    if run.summary.exists():  # before the summary exists, there are no checksums yet
        run.manifest.check(*sorted(run.dynamics.glob("*.np[yz]")))
    with reading(run.dynamics):
        with np.load(run.dynamics / "samples.npz", allow_pickle=False) as arrays:
            samples = {name: arrays[name] for name in SAMPLES}
            clean = arrays.get("clean_label")
        n = len(samples["label"])
        classes = len(samples["class_names"])
        shapes = {array.shape for array in log.arrays.values()}
        if shapes != {(len(log.step), n)} or any(
            array.size and not 0 <= array.min() <= array.max() < classes
            for array in (log.arrays["prediction"][: len(log)], samples["label"])
        ):
            raise ValueError("its arrays do not fit each other")
        scores = RunningScores(samples["label"])
        for row in islice(log, rows):
            scores.update(row)
    return LoadedDynamics(log, **samples, scores=scores, clean_label_if_known=clean)


def load_run(path: str | Path) -> LoadedRun:
    """Read the finished run in ``path``.

    Raises:
        InputError: there is no finished run.
    """
    directory = RunDirectory(Path(path))
    with reading(directory.path):
        summary = directory.read_summary()
        directory.manifest.check(directory.metrics)
        for key in ("noise", "stages", "final", "report_card"):
            summary[key]  # raises if a required key is missing
        history, config = History.read_csv(directory.metrics), directory.read_settings()
        return LoadedRun(directory, summary, history, config)


def load_runs(folders: Sequence[Path]) -> list[LoadedRun]:
    """The finished runs in directories of runs and of sweeps, in the order of their numbers.

    Unfinished runs, and runs that a search ended early, are left out and named on stderr.

    Raises:
        InputError: a folder has no finished run or is given twice.
    """
    resolved = [folder.resolve() for folder in folders]
    for folder in folders:
        if resolved.count(folder.resolve()) > 1:
            raise InputError(f"{folder} is given twice: its runs would count twice; write it once")
    found = []
    for folder in folders:
        own = [folder] if (folder / ".hydra" / "config.yaml").is_file() else []
        jobs = (path.parents[1] for path in folder.glob("*/.hydra/config.yaml"))
        paths = own or sorted(jobs, key=lambda path: (len(path.name), path.name))
        finished = [path for path in paths if (path / "summary.json").is_file()]
        runs = [run for run in map(load_run, finished) if run.summary.get("status") != "pruned"]
        if not runs:
            raise InputError(f"{folder} holds no finished runs: give directories of runs or sweeps")
        if left := sorted({p.name for p in paths} - {r.directory.path.name for r in runs}, key=len):
            sys.stderr.write(f"not finished in {folder}, left out: {', '.join(left)}\n")
        found += runs
    return found
