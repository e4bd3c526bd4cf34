"""Label noise: transition matrices, draws of the flips, and the record of a draw.

T[i, j] = P(noisy = j | clean = i). Every kind of noise (`noise=...` on the command line) is a small
class that uses `matrices`, `flips` and `record`.

Axes: n samples, K classes, b samples of a chunk, F features.
"""

from labelnoise.noise.cifar_classes import CIFAR10_CLASSES, CIFAR100_CLASSES
from labelnoise.noise.flips import flip_labels
from labelnoise.noise.given import FileNoise, HumanNoise, HumanTwinNoise
from labelnoise.noise.kinds import (
    AsymmetricNoise,
    ClassConditionalNoise,
    CleanSplit,
    InstanceDependentNoise,
    LabelNoise,
    NoNoise,
    PairFlipNoise,
    SymmetricNoise,
)
from labelnoise.noise.matrix_file import MatrixNoise
from labelnoise.noise.record import NoiseRecord

__all__ = [
    "CIFAR10_CLASSES",
    "CIFAR100_CLASSES",
    "AsymmetricNoise",
    "ClassConditionalNoise",
    "CleanSplit",
    "FileNoise",
    "HumanNoise",
    "HumanTwinNoise",
    "InstanceDependentNoise",
    "LabelNoise",
    "MatrixNoise",
    "NoNoise",
    "NoiseRecord",
    "PairFlipNoise",
    "SymmetricNoise",
    "flip_labels",
]
