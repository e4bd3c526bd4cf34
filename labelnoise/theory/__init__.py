"""The two-stage theory as pure functions: coefficients, stages and bounds.

Axes: K = 2 classes (class 1 is y = +1, class 0 is y = -1), m filters of each class, n training
samples, d dimension of a patch; "n+1" and "a" run over the features mu, xi_1, ..., xi_n.
"""

from labelnoise.theory.bounds import signal_norm_for, stage_one_length
from labelnoise.theory.decomposition import (
    Coefficients,
    SignalNoiseDecomposition,
    coefficient_scalars,
)
from labelnoise.theory.stages import LeadPeakDetector, OvertakeDetector, Stages, find_stages

__all__ = [
    "Coefficients",
    "LeadPeakDetector",
    "OvertakeDetector",
    "SignalNoiseDecomposition",
    "Stages",
    "coefficient_scalars",
    "find_stages",
    "signal_norm_for",
    "stage_one_length",
]
