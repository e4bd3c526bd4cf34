"""A run read back from its directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from labelnoise.dynamics import DynamicsLog, RunningScores
from labelnoise.errors import InputError
from labelnoise.learner.history import History
from labelnoise.noise.truth import known
from labelnoise.run_directory import RunDirectory

SAMPLES = ("label", "source_index", "name", "class_names")


@dataclass(frozen=True)
class LoadedRun:
    """What a finished run left: its summary, its curves and its resolved configuration.

    Example:
        ``load_run("outputs/NAME").history.series("train/acc_noisy")`` gives steps and values.
    """

    directory: RunDirectory
    summary: dict[str, Any]
    history: History
    config: dict[str, Any] = field(default_factory=dict)

    def coefficients(self) -> dict[str, NDArray[Any]]:
        """The arrays of coefficients.npz; see :class:`labelnoise.monitors.CoefficientMonitor`."""
        self.directory.manifest.check(self.directory.coefficients)
        with np.load(self.directory.coefficients, allow_pickle=False) as arrays:
            return dict(arrays)

    def gradients(self) -> dict[str, NDArray[Any]]:
        """The arrays of gradients.npz; see :class:`labelnoise.monitors.GradientMonitor`."""
        self.directory.manifest.check(self.directory.gradients)
        with np.load(self.directory.gradients, allow_pickle=False) as arrays:
            return dict(arrays)

    def dynamics(self) -> LoadedDynamics:
        """The per-sample log; see :class:`labelnoise.monitors.DynamicsMonitor`."""
        return read_dynamics(self.directory)


@dataclass(frozen=True)
class LoadedDynamics:
    """The per-sample log of a run, with what its columns are.

    Attributes:
        log: the rows; ``log.arrays["margin"]`` is (rows, n), on disk.
        label, source_index: (n,).
        clean_label_if_known: (n,); None where the true labels are not known.
        name: (n,) the file in an image folder, elsewhere the place in the published data set.
        class_names: (K,).
        scores: over all rows.
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
        """Whether there are true labels."""
        return self.clean_label_if_known is not None

    @property
    def clean_label(self) -> NDArray[np.int64]:
        """(n,), the true labels; raises UnknownTruth where they are not known."""
        return known(self.clean_label_if_known)

    @property
    def is_noisy(self) -> NDArray[np.bool_]:
        """(n,): the given label is not the true one; raises as ``clean_label`` does."""
        return self.label != self.clean_label


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Around reading what a run left: a file that is damaged or missing becomes one line."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} is not complete, it lacks {error.filename}") from error
    except (ValueError, KeyError, IndexError, TypeError, OSError, BadZipFile) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} cannot be read, a file there is damaged: {reason}") from error


def read_dynamics(run: RunDirectory, rows: int | None = None) -> LoadedDynamics:
    """Read the per-sample log of a run that finished.

    Args:
        run: where it lies.
        rows: how many of its first rows the scores are taken over; None for all.

    Raises:
        InputError: the run kept none.
    """
    log = DynamicsLog(run.dynamics)
    if run.summary.exists():  # a run that is reporting has not told their checksums yet
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
    """Read the run that finished in ``path``.

    Raises:
        InputError: no finished run lies there.
    """
    directory = RunDirectory(Path(path))
    with reading(directory.path):
        summary = directory.read_summary()
        directory.manifest.check(directory.metrics)
        for key in ("noise", "stages", "final", "report_card"):
            summary[key]  # whatever reads it may rely on these
        history, config = History.read_csv(directory.metrics), _plain(directory.read_config())
        return LoadedRun(directory, summary, history, config)


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}
