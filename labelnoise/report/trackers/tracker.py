"""A tracker of a run: a Lightning logger that may fail without an effect on the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from labelnoise.config.composition import NOT_PART_OF_THE_RUN, flat
from labelnoise.errors import InputError, reason_of
from labelnoise.report.tables.numbers import numbers_of
from labelnoise.run_directory import RunDirectory

log = logging.getLogger(__name__)

# The parser in C, where PyYAML has it.
_YAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# The longest name of a run that W&B accepts.
_LONGEST = 128


class Tracker(Logger):
    """Sends the configuration, metrics and results of a run to one of Lightning's loggers.

    If the logger raises, it gets nothing more and the run continues, because the run's own files
    have everything. The metrics of a step go to the logger together, when the next step has
    metrics, before a checkpoint is saved, or at the end. A killed run has therefore no part of a
    step, and every step before its checkpoint. A subclass says where its logger writes, and how a
    resumed run has every step once.

    Args:
        choice: the name in ``logger=NAME``.
        make: creates the logger from more arguments.
        cfg: the configuration of the run.
        run: its directory.
        resumed_step: the step of the checkpoint that the run continues from; None for a new run.
    """

    # The package to install, by the extra of the same name; None if it is always installed.
    package: str | None = None
    # Options of the logger that the run sets, so that a user cannot.
    taken: tuple[str, ...] = ()

    def __init__(
        self,
        choice: str,
        make: Callable[..., Logger],
        cfg: DictConfig,
        run: RunDirectory,
        resumed_step: int | None = None,
    ) -> None:
        super().__init__()
        self.choice, self.cfg, self.run, self.resumed_step = choice, cfg, run, resumed_step
        self.failed = self.closed = False
        self.row: dict[str, float] = {}  # the metrics of the present step
        self.step = 0
        try:
            self.logger: Any = make(**self.arguments())
            self._open()
        except (InputError, HydraException):
            raise
        except Exception as error:  # the libraries raise errors of many kinds
            raise InputError(
                f"logger={choice} cannot be opened ({reason_of(error)}): change its options, or "
                "leave it out"
            ) from error

    @classmethod
    def check(cls, choice: str, node: DictConfig) -> None:
        """Refuse options that this machine cannot serve, before any work.

        Raises:
            InputError: a package, a key or a server is missing, or the run sets an option.
        """
        if given := [key for key in cls.taken if key in node]:
            raise InputError(
                f"logger.{choice}.{given[0]} is set by the run, which has the names of metrics.csv "
                "and its own directory: leave it out"
            )
        if cls.package is not None and find_spec(cls.package) is None:
            raise InputError(
                f"logger={choice} needs the package {cls.package}: "
                f'pip install "labelnoise[{cls.package}]"'
            )

    # A subclass overrides these methods. Only the first two may refuse the run.

    def arguments(self) -> dict[str, Any]:
        """Arguments of the logger that the run sets."""
        return {}

    def _open(self) -> None:
        """Reach the server of the logger, if this is possible before the run starts."""

    def _start(self, truth_known: bool, has_test: bool) -> None:
        self.logger.log_hyperparams(self.options())

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        self.logger.log_metrics(metrics, step)

    def _resume(self, rows: Mapping[int, Mapping[str, float]]) -> None:
        """Log the steps before the checkpoint again, in a record that starts anew."""
        for step, row in sorted(rows.items()):
            self._log(row, step)

    def _finish(self, summary: Mapping[str, Any], figures: Mapping[str, Path]) -> None:
        self._log(numbers(summary), summary["step"])

    def _close(self, status: str) -> None:
        self.logger.finalize(status)

    # The run and Lightning call these methods, which never raise.

    def start(self, truth_known: bool = True, has_test: bool = True) -> None:
        """Log the configuration at the start or at the continuation of a run."""
        self._try(self._start, truth_known, has_test)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if step != self.step:
            self._send()
        self.row |= metrics
        self.step = step or 0

    def flush(self) -> None:
        """Write everything up to now, so that a killed process does not lose it."""
        self._send()
        self._try(self.logger.save)

    def resume(self, rows: Mapping[int, Mapping[str, float]]) -> None:
        """Take over the metrics of the steps up to the checkpoint, by step."""
        self._try(self._resume, rows)

    def finish(self, summary: Mapping[str, Any], figures: Mapping[str, Path]) -> None:
        """Log the numbers of the summary, and the figures by name."""
        self._send()
        self._try(self._finish, summary, figures)

    def close(self, status: str) -> None:
        """End the record with the status "success" or "failed"; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self._send()
            self._try(self._close, status)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        self._try(self.logger.after_save_checkpoint, checkpoint_callback)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: :meth:`start` logs the configuration."""

    def finalize(self, status: str) -> None:
        """Do nothing: Lightning calls this after ``fit``, before the results exist."""

    @property
    def name(self) -> str:
        return self.choice

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.run.path)

    def _send(self) -> None:
        row, self.row = self.row, {}
        if row:
            self._try(self._log, row, self.step)

    def _try(self, action: Callable[..., None], *arguments: Any) -> None:
        if self.failed:
            return
        try:
            action(*arguments)
        except Exception as error:  # the libraries raise errors of many kinds
            self.failed = True
            log.warning(
                "logger=%s failed and gets nothing more from this run (%s); the run continues, and "
                "its directory has all results",
                self.choice,
                reason_of(error),
            )

    def options(self) -> dict[str, Any]:
        """Every option of the configuration by its path."""
        return flat(OmegaConf.to_container(self.cfg, resolve=True))

    def label(self) -> str:
        """The directory of the run in output_dir, and its options; in a sweep the swept options."""
        words = self.run.read_overrides()
        told = [w for w in words if w.partition("=")[0].split(".")[0] not in NOT_PART_OF_THE_RUN]
        common = _common_words(self.run.path.parent / "multirun.yaml")
        told = [word for word in told if word.casefold() not in common]
        return f"{self.place().as_posix()} {','.join(told)}".rstrip()[:_LONGEST]

    def place(self) -> Path:
        """The directory of the run, relative to output_dir if the run is there."""
        path, top = self.run.path.absolute(), Path(self.cfg.output_dir).absolute()
        return path.relative_to(top) if path.is_relative_to(top) else Path(path.name)


def _common_words(multirun: Path) -> Sequence[str]:
    """The options that a sweep's command line gives to all jobs; none if the file is not there.

    Without upper case, because Hydra gives ``a=false`` to a job as ``a=False``.
    """
    try:
        task = yaml.load(multirun.read_text(encoding="utf-8"), _YAML)["hydra"]["overrides"]["task"]
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        return ()
    return [str(word).casefold() for word in task]


def numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    """Every number of a summary by its dotted name behind ``summary/``; true is 1, false is 0.

    Example:
        >>> numbers({"status": "finished", "step": 60, "final": {"test/acc": 0.9, "val/acc": None}})
        {'summary/step': 60, 'summary/final.test/acc': 0.9}
    """
    found = numbers_of(summary)
    # +True is 1, which is a number for every tracker.
    return {f"summary/{k}": +v for k, v in found if isinstance(v, int | float)}
