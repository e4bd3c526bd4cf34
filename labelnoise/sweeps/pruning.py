"""End a trial of a search early if its score is worse than that of the other trials."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from pytorch_lightning.trainer.states import TrainerFn

from labelnoise.config.score import SCORES, Name
from labelnoise.learner.classifier import classifier_of
from labelnoise.sweeps.study import PRUNED, open_journal, pruner_of
from labelnoise.training.building import Watcher

if TYPE_CHECKING:  # an extra
    from optuna import Study

log = logging.getLogger(__name__)


def pruning_of(cfg: DictConfig) -> Pruning | None:
    """The pruning of this job; None outside a search, and in a search without a pruner."""
    if not HydraConfig.initialized():
        return None
    now = HydraConfig.get()
    pruner = now.sweeper.get("pruner", "none")
    if pruner == "none":
        return None
    study = open_journal(Path(now.sweep.dir), SCORES[cfg.score].direction, pruner_of(pruner))
    return Pruning(study, now.job.num, cfg.score)


class Pruning(Watcher):
    """Give each validation score to Optuna, and end the run if Optuna's pruner decides so.

    The pruner compares the trial with the trials that have reached the same step. If trials run at
    the same time, its decision depends on their speed.
    """

    def __init__(self, study: Study, number: int, score: Name) -> None:
        self.study, self.number, self.score = study, number, score

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        from optuna.trial import Trial

        step = trainer.global_step
        value = classifier_of(trainer).history.at(SCORES[self.score].metric, step)
        if trainer.state.fn != TrainerFn.FITTING or math.isnan(value) or self.stopped_step:
            return
        known = self.study.trials[self.number]
        trial = Trial(self.study, known._trial_id)
        if step not in known.intermediate_values:  # a resumed run repeats steps
            trial.report(value, step)
        if trial.should_prune():
            trial.set_user_attr(PRUNED, True)
            self.stopped_step = step
            trainer.should_stop = True
            log.info("trial %d is pruned at step %d: %s %.6g", self.number, step, self.score, value)
