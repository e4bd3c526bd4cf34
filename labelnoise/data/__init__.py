"""Data: splits of samples in memory, with the labels that training sees and the true ones."""

from labelnoise.data.batch import Batch, Split
from labelnoise.data.cifar import CIFAR10DataModule, CIFAR10PairDataModule, CIFAR100DataModule
from labelnoise.data.image_folder import ImageFolderDataModule
from labelnoise.data.loaders import TensorLoader
from labelnoise.data.signal_noise import SignalNoiseDataModule

__all__ = [
    "Batch",
    "CIFAR10DataModule",
    "CIFAR10PairDataModule",
    "CIFAR100DataModule",
    "ImageFolderDataModule",
    "SignalNoiseDataModule",
    "Split",
    "TensorLoader",
]
