"""Data: splits of samples in memory, with their given labels and, if known, their true labels.

Axes: n samples of a split, b samples of a batch, k chosen samples, K classes, c channels, h x w
pixels, d dimension of a patch; "n 2 d" are a signal patch and a noise patch.
"""

from labelnoise.data.cifar import CIFAR10DataModule, CIFAR10PairDataModule, CIFAR100DataModule
from labelnoise.data.features import FeaturesDataModule
from labelnoise.data.image_folder import ImageFolderDataModule
from labelnoise.data.image_table import ImageTableDataModule
from labelnoise.data.images import ImageDataModule
from labelnoise.data.mnist import FashionMNISTDataModule, MNISTDataModule
from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.data.pool import PoolDataModule
from labelnoise.data.signal_noise import SignalNoiseDataModule

__all__ = [
    "CIFAR10DataModule",
    "CIFAR10PairDataModule",
    "CIFAR100DataModule",
    "FashionMNISTDataModule",
    "FeaturesDataModule",
    "ImageDataModule",
    "ImageFolderDataModule",
    "ImageTableDataModule",
    "MNISTDataModule",
    "NoisyLabelDataModule",
    "PoolDataModule",
    "SignalNoiseDataModule",
]
