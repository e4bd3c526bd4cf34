"""Techniques intervene: they stop, select, reset or replace the loss. They never draw a picture."""

from labelnoise.techniques.composition import check_composition, conflict
from labelnoise.techniques.dal import DAL
from labelnoise.techniques.early_stopping import EarlyStopping
from labelnoise.techniques.elr import ELR
from labelnoise.techniques.loss import Loss
from labelnoise.techniques.mixup import Mixup
from labelnoise.techniques.sample_selection import SampleSelection
from labelnoise.techniques.tcr import TCR
from labelnoise.techniques.technique import ROLES, Technique
from labelnoise.techniques.transition_correction import TransitionCorrection

__all__ = [
    "DAL",
    "ELR",
    "ROLES",
    "TCR",
    "EarlyStopping",
    "Loss",
    "Mixup",
    "SampleSelection",
    "Technique",
    "TransitionCorrection",
    "check_composition",
    "conflict",
]
