"""Label noise: transition matrices, draws of the flips, and the record of a draw.

T[i, j] = P(noisy = j | clean = i). Every kind of noise (`noise=...` on the command line) is a small
class that uses `matrices`, `flips` and `record`.

Axes: n samples, K classes, b samples of a chunk, F features.
"""

from labelnoise.noise.checks import check_labels, check_num_classes, check_rate
from labelnoise.noise.cifar_classes import (
    CIFAR10_CLASSES,
    CIFAR10_CONFUSIONS,
    CIFAR100_CLASSES,
    CIFAR100_CONFUSIONS,
    CIFAR100_SUPERCLASSES,
)
from labelnoise.noise.flips import (
    flip_labels,
    flip_symmetric,
    instance_dependent_labels,
    permute_within_classes,
)
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
from labelnoise.noise.label_files import GivenLabels, read_labels
from labelnoise.noise.matrices import (
    asymmetric_matrix,
    class_conditional_matrix,
    pairflip_matrix,
    symmetric_matrix,
    transition_matrix,
)
from labelnoise.noise.matrix_file import MatrixNoise, read_matrix
from labelnoise.noise.record import NoiseRecord

__all__ = [
    "CIFAR10_CLASSES",
    "CIFAR10_CONFUSIONS",
    "CIFAR100_CLASSES",
    "CIFAR100_CONFUSIONS",
    "CIFAR100_SUPERCLASSES",
    "AsymmetricNoise",
    "ClassConditionalNoise",
    "CleanSplit",
    "FileNoise",
    "GivenLabels",
    "HumanNoise",
    "HumanTwinNoise",
    "InstanceDependentNoise",
    "LabelNoise",
    "MatrixNoise",
    "NoNoise",
    "NoiseRecord",
    "PairFlipNoise",
    "SymmetricNoise",
    "asymmetric_matrix",
    "check_labels",
    "check_num_classes",
    "check_rate",
    "class_conditional_matrix",
    "flip_labels",
    "flip_symmetric",
    "instance_dependent_labels",
    "pairflip_matrix",
    "permute_within_classes",
    "read_labels",
    "read_matrix",
    "symmetric_matrix",
    "transition_matrix",
]
