"""labelnoise: show, measure and stop the two stages of learning with noisy labels."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

# OpenMP reads this when torch loads it. Waiting threads then do not spin. Spinning is up to ten
# times slower if another program needs the same cores, and gains almost nothing otherwise.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

# Loaded at first use, so that --help does not import torch.
_PUBLIC = {
    "Batch": "labelnoise.data.batch",
    "CIFAR10DataModule": "labelnoise.data",
    "CIFAR10PairDataModule": "labelnoise.data",
    "CoTeaching": "labelnoise.techniques",
    "CoefficientMonitor": "labelnoise.monitors",
    "EarlyStopping": "labelnoise.techniques",
    "ImageFolderDataModule": "labelnoise.data",
    "InputError": "labelnoise.errors",
    "JoCoR": "labelnoise.techniques",
    "MemorizationMonitor": "labelnoise.monitors",
    "NoiseRecord": "labelnoise.noise",
    "NoisyLabelClassifier": "labelnoise.learner.classifier",
    "ResNet": "labelnoise.models",
    "SampleSelection": "labelnoise.techniques",
    "SignalNoiseDataModule": "labelnoise.data",
    "SmallCNN": "labelnoise.models",
    "Split": "labelnoise.data.batch",
    "StochasticReset": "labelnoise.techniques",
    "TwoLayerCNN": "labelnoise.models",
    "TwoNetworkClassifier": "labelnoise.learner.two_networks",
    "VGG": "labelnoise.models",
    "compose": "labelnoise.config.composition",
    "load_run": "labelnoise.report.loaded",
    "train": "labelnoise.training.train",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'labelnoise' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
