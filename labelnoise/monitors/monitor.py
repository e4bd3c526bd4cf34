"""The base class of monitors, with the interval of their measurements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Split
from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.errors import InputError
from labelnoise.files.writing import write_arrays
from labelnoise.learner.classifier import NoisyLabelClassifier, classifier_of
from labelnoise.run_directory import RunDirectory
from labelnoise.seeding import stream
from labelnoise.state import Stateful


def is_due(step: int, every_n_steps: int) -> bool:
    """True at the multiples of ``every_n_steps``, and at the powers of two before the first one.

    The powers of two are points for a logarithmic axis and cost little.

    Example:
        >>> [step for step in range(1, 61) if is_due(step, 20)]
        [1, 2, 4, 8, 16, 20, 40, 60]
    """
    if step < every_n_steps:
        return step & (step - 1) == 0
    return step % every_n_steps == 0


def probe_of(split: Split, size: int, seed: int) -> Split:
    """A fixed random subset of ``size`` samples, in order; a smaller split is returned whole."""
    if len(split) <= size:
        return split
    order = torch.randperm(len(split), generator=stream(seed, "probe"))
    return split.subset(order[:size].sort().values.to(split.index.device))


def described(data: NoisyLabelDataModule, split: Split) -> dict[str, np.ndarray]:
    """Labels, positions and names of the samples of a split, for the file of a monitor."""
    arrays = {
        "label": split.label.cpu().numpy(),
        "source_index": split.source_index.cpu().numpy(),
        "name": np.array(data.sample_names(split.source_index), dtype=np.str_),
        "class_names": np.array(data.class_names, dtype=np.str_),
    }
    if split.truth_known:
        arrays["clean_label"] = split.clean_label.cpu().numpy()
    return arrays


class Monitor(Stateful, pl.Callback):
    """Records the metrics of :meth:`observe` at step 0, at each due step and after the last step.

    Args:
        every_n_steps: the interval in optimizer steps; None: the end of every epoch.

    Attributes:
        records: the first parts of the monitor's metric names, before the slash. Every subclass
            must declare them. By these names a stopping rule finds the monitor that it needs.
        needs_truth: whether the monitor is refused if the true labels are unknown.
    """

    records: ClassVar[tuple[str, ...]] = ()
    needs_truth: ClassVar[bool] = False
    state: ClassVar[tuple[str, ...]] = ("last_step",)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not cls.records:
            raise TypeError(f'{cls.__name__} declares no metrics: write records = ("NAME",)')

    def __init__(self, every_n_steps: int | None) -> None:
        self.check_numbers(every_n_steps=every_n_steps)
        self.every_n_steps = every_n_steps
        self.last_step = -1

    @classmethod
    def check_numbers(cls, **values: int | None) -> None:
        """Refuse options outside their ranges; the message has the name of the monitor's module.

        A module of the user's own can have another name than the YAML file; the message then has
        the name of the class.
        """
        package, _, module = cls.__module__.rpartition(".")
        ours = package.startswith("labelnoise.")
        check_options_of(cls, f"monitor.{module}." if ours else f"{cls.__name__}.", **values)

    def observe(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> dict[str, float]:
        """Measure the current network, without changing it or the random streams."""
        raise NotImplementedError

    def save(self, run: RunDirectory) -> None:
        """Write the arrays of the monitor to the run directory after training."""

    def due(self, step: int) -> bool:
        """Whether the interval ends at this step; the ends of epochs do not count."""
        return self.every_n_steps is not None and is_due(step, self.every_n_steps)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step == 0:  # a resumed run observed step 0 before its interruption
            self._observe(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        if self.due(trainer.global_step):
            self._observe(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.every_n_steps is None:
            self._observe(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._observe(trainer)

    def _observe(self, trainer: pl.Trainer) -> None:
        # With accumulated gradients, and after a resumption, a step can occur more than once.
        if trainer.global_step > self.last_step:
            self.last_step = trainer.global_step
            module = classifier_of(trainer)
            module.record(self._numbers(self.observe(trainer, module)))

    def _numbers(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """Plain numbers under declared names.

        Raises:
            InputError: another value, or a name that ``records`` lacks.
        """
        kind, numbers = type(self).__name__, {}
        for name, value in metrics.items():
            if name.partition("/")[0] not in self.records:
                raise InputError(f"{kind}.records does not name {name.partition('/')[0]} of {name}")
            try:
                numbers[name] = float(value)
            except (TypeError, ValueError, RuntimeError):
                raise InputError(
                    f"{kind}.observe must return numbers, got {name}={str(value)[:50]}"
                ) from None
        return numbers


class KeptArrays(Stateful):
    """The arrays of every observation, for a monitor that writes them after training.

    Attributes:
        steps: the T steps.
        arrays: T tensors of one shape for each name.
    """

    steps: list[int]
    arrays: dict[str, list[Tensor]]

    def keep(self, step: int, arrays: Mapping[str, Tensor]) -> None:
        """Add the arrays of an observation."""
        self.steps.append(step)
        for name, value in arrays.items():
            self.arrays.setdefault(name, []).append(value.cpu())

    def write(self, path: Path, facts: Mapping[str, np.ndarray]) -> None:
        """Write ``steps`` (T,), ``facts``, and each array (T, ...)."""
        kept = {name: torch.stack(values).numpy() for name, values in self.arrays.items()}
        write_arrays(path, {"steps": np.array(self.steps, dtype=np.int64), **facts, **kept})

    def state_dict(self) -> dict[str, Any]:
        stacked = {name: torch.stack(values) for name, values in self.arrays.items()}
        return {**super().state_dict(), "steps": list(self.steps), "arrays": stacked}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.steps = list(state_dict["steps"])
        self.arrays = {name: list(v.cpu()) for name, v in state_dict["arrays"].items()}


def missing_monitor(metrics: Iterable[str], callbacks: Iterable[pl.Callback]) -> str | None:
    """The name of a monitor that records one of ``metrics`` and is not in ``callbacks``.

    It is None if no monitor is missing. The name of a metric begins with the name of its monitor.
    Validation metrics need no monitor.

    Example:
        >>> missing_monitor(["val/loss", "gradients/dominance"], [])
        'gradients'
    """
    recorded = {name for c in callbacks if isinstance(c, Monitor) for name in c.records} | {"val"}
    needed = (metric.partition("/")[0] for metric in metrics)
    return next((name for name in needed if name not in recorded), None)
