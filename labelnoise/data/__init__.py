"""Data: splits of samples in memory, with the labels that training sees and the true ones."""

from labelnoise.data.batch import Batch, Split
from labelnoise.data.cifar import CIFAR10DataModule, CIFAR10PairDataModule, CIFAR100DataModule
from labelnoise.data.image_folder import ImageFolderDataModule
from labelnoise.data.images import ImageDataModule
from labelnoise.data.loaders import TensorLoader
from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.data.signal_noise import SignalNoiseDataModule
from labelnoise.data.subsets import Images

__all__ = [
    "Batch",
    "CIFAR10DataModule",
    "CIFAR10PairDataModule",
    "CIFAR100DataModule",
    "ImageDataModule",
    "ImageFolderDataModule",
    "Images",
    "NoisyLabelDataModule",
    "SignalNoiseDataModule",
    "Split",
    "TensorLoader",
]
