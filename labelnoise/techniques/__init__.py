"""Techniques change the training: they stop it, select samples, reset weights or set the loss.

Techniques draw no figures.

Axes: n samples (of a batch or of the training set), K classes, b samples of a batch, e dimension
of the embedding; "n 2" has a column for each of two networks, "n terms" for each loss term.
"""

from labelnoise.techniques.co_teaching import CoTeaching
from labelnoise.techniques.composition import check_composition, conflict, learner_of
from labelnoise.techniques.dal import DAL
from labelnoise.techniques.early_stopping import EarlyStopping
from labelnoise.techniques.elr import ELR
from labelnoise.techniques.jocor import JoCoR
from labelnoise.techniques.label_wave import LabelWave
from labelnoise.techniques.loss import Loss
from labelnoise.techniques.mixup import Mixup
from labelnoise.techniques.neighbour_trust import NeighbourTrust
from labelnoise.techniques.sample_selection import SampleSelection
from labelnoise.techniques.stochastic_reset import StochasticReset
from labelnoise.techniques.tcr import TCR
from labelnoise.techniques.technique import ROLES, Technique
from labelnoise.techniques.transition_correction import TransitionCorrection

__all__ = [
    "DAL",
    "ELR",
    "ROLES",
    "TCR",
    "CoTeaching",
    "EarlyStopping",
    "JoCoR",
    "LabelWave",
    "Loss",
    "Mixup",
    "NeighbourTrust",
    "SampleSelection",
    "StochasticReset",
    "Technique",
    "TransitionCorrection",
    "check_composition",
    "conflict",
    "learner_of",
]
