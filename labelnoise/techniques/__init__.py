"""Techniques intervene: they stop, select, reset or replace the loss. They never draw a picture."""

from labelnoise.techniques.composition import check_composition, conflict
from labelnoise.techniques.early_stopping import EarlyStopping
from labelnoise.techniques.label_wave import LabelWave
from labelnoise.techniques.loss import Loss
from labelnoise.techniques.sample_selection import SampleSelection
from labelnoise.techniques.technique import ROLES, Technique

__all__ = [
    "ROLES",
    "EarlyStopping",
    "LabelWave",
    "Loss",
    "SampleSelection",
    "Technique",
    "check_composition",
    "conflict",
]
