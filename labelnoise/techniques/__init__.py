"""Techniques intervene: they stop, select, reset or replace the loss. They never draw a picture."""

from labelnoise.techniques.early_stopping import EarlyStopping
from labelnoise.techniques.sample_selection import SampleSelection
from labelnoise.techniques.technique import Technique

__all__ = ["EarlyStopping", "SampleSelection", "Technique"]
