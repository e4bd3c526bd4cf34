"""Techniques intervene: they stop, select, reset or replace the loss. They never draw a picture."""

from labelnoise.techniques.co_teaching import CoTeaching
from labelnoise.techniques.composition import check_composition, conflict, learner_of
from labelnoise.techniques.early_stopping import EarlyStopping
from labelnoise.techniques.jocor import JoCoR
from labelnoise.techniques.loss import Loss
from labelnoise.techniques.sample_selection import SampleSelection
from labelnoise.techniques.stochastic_reset import StochasticReset
from labelnoise.techniques.technique import ROLES, Technique

__all__ = [
    "ROLES",
    "CoTeaching",
    "EarlyStopping",
    "JoCoR",
    "Loss",
    "SampleSelection",
    "StochasticReset",
    "Technique",
    "check_composition",
    "conflict",
    "learner_of",
]
