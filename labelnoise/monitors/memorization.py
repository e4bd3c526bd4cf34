"""Accuracy on clean and noisy training samples, and on the test set."""

from __future__ import annotations

import math

import pytorch_lightning as pl

from labelnoise.data.batch import Split
from labelnoise.data.module import data_of
from labelnoise.learner.classifier import NoisyLabelClassifier, classifier_of
from labelnoise.monitors.monitor import Monitor, is_due, probe_of


class MemorizationMonitor(Monitor):
    """Logs ``train/*`` over the whole training set and ``test/*`` over the test set, if it exists.

    The metrics are those of :mod:`labelnoise.learner.label_metrics`, all at the current weights.
    The monitor uses the test data and, if they are known, the true labels. Techniques may not use
    them.

    Args:
        every_n_steps: interval of the training metrics; None: one epoch.
        test_every_n_steps: interval of the test metrics; None: the interval of training metrics.
        probe_size: number of training samples for the training metrics; all samples if there are
            no more.
        seed: seed of the draw of these samples.
    """

    records = ("train", "test")

    def __init__(
        self,
        every_n_steps: int | None = 20,
        test_every_n_steps: int | None = 100,
        probe_size: int = 10_000,
        seed: int = 0,
    ) -> None:
        super().__init__(every_n_steps)
        self.check_numbers(test_every_n_steps=test_every_n_steps, probe_size=probe_size)
        self.test_every_n_steps = test_every_n_steps
        self.probe_size = probe_size
        self.seed = seed
        self.probe: Split | None = None
        self.has_test = True

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = data_of(trainer)
        self.has_test = data.test is not None
        self.probe = probe_of(data.train, self.probe_size, self.seed)

    def due(self, step: int) -> bool:
        return super().due(step) or self._test_due(step)

    def _test_due(self, step: int) -> bool:
        interval = self.test_every_n_steps if self.has_test else None
        return interval is not None and is_due(step, interval)

    def observe(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> dict[str, float]:
        assert self.probe is not None
        metrics = module.measure("train", self.probe)
        every_time = self.has_test and self.test_every_n_steps is None
        if every_time or self._test_due(trainer.global_step):
            metrics |= module.measure("test")
        return metrics

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        module = classifier_of(trainer)
        if self.has_test and math.isnan(module.history.at("test/acc", trainer.global_step)):
            module.record(module.measure("test"))
