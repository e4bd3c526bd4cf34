"""Epochs on the pair: through our Trainer against a plain PyTorch loop, monitors on against off."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms

from benchmarks.images import UncheckedCIFAR10
from benchmarks.ratio import Ratio, seconds, side_by_side
from labelnoise.config.composition import compose
from labelnoise.data.batch import Split
from labelnoise.data.cifar_files import PUBLISHED_CIFAR10
from labelnoise.run_directory import claim
from labelnoise.training.building import Parts, build
from labelnoise.training.isolation import isolated

ROUNDS = 3
PAIR_RUN = (
    "data=cifar10_pair",
    "data.verify=false",
    "data.download=false",
    "noise_rate=0.2",
    "optimizer=sgd",
    "batch_size=128",
    "max_epochs=1",
    "logger=none",
    "checkpoint_every_n_steps=null",
    "trainer.enable_progress_bar=false",
)
# A tenth of the pair: an epoch of VGG-11 on all of it takes minutes on two cores.
SMALL_VGG = ("model=vgg11", "data.per_class=500", "data.val_fraction=0", "monitor=memorization")


class Items(Dataset[tuple[Tensor, int]]):
    """Samples of torchvision's dataset with labels of their own, one after another."""

    def __init__(self, dataset: UncheckedCIFAR10, split: Split) -> None:
        self.dataset = dataset
        self.place, self.label = split.source_index.tolist(), split.label.tolist()

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.dataset[self.place[i]][0], self.label[i]


class Clock(pl.Callback):
    """Notes when the first epoch begins, after what is measured once before training."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.start = time.perf_counter()


def fit_seconds(root: Path, *overrides: str) -> float:
    """Seconds of one epoch in ``trainer.fit``, with everything that the overrides leave on."""
    cfg = compose([*PAIR_RUN, f"data.root={root}", *overrides])
    with (
        tempfile.TemporaryDirectory() as folder,
        claim(Path(folder, "run"), cfg, []) as run,
        isolated(0),
    ):
        parts, clock = build(cfg, run), Clock()
        parts.trainer.callbacks.append(clock)  # type: ignore[attr-defined]
        parts.trainer.fit(parts.classifier, datamodule=parts.datamodule)
        return time.perf_counter() - clock.start


def plain_seconds(root: Path, *overrides: str) -> float:
    """Seconds of the same epoch in a plain loop: item by item through a DataLoader.

    Trains with the running loss and accuracy, then evaluates the samples with flipped labels, those
    with kept ones, and the test images, each with a loader of its own.
    """
    cfg = compose([*PAIR_RUN, f"data.root={root}", *overrides])
    with tempfile.TemporaryDirectory() as folder, claim(Path(folder, "run"), cfg, []) as run:
        return seconds(_plain_epoch(root, build(cfg, run)))


def _plain_epoch(root: Path, parts: Parts) -> Any:
    mean, std = PUBLISHED_CIFAR10.mean, PUBLISHED_CIFAR10.std
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    data, model = parts.datamodule, parts.classifier.model
    assert data.test is not None
    train = Items(UncheckedCIFAR10(str(root), train=True, transform=transform), data.train)
    test = Items(UncheckedCIFAR10(str(root), train=False, transform=transform), data.test)
    flipped = data.train.is_noisy.nonzero().flatten().tolist()
    kept = (~data.train.is_noisy).nonzero().flatten().tolist()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def epoch() -> None:
        model.train()
        loss_sum, correct = 0.0, 0
        for input, label in DataLoader(train, 128, shuffle=True):
            optimizer.zero_grad()
            logits = model(input)
            loss = F.cross_entropy(logits, label)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(label)
            correct += int((logits.argmax(1) == label).sum())
        for part in (Subset(train, flipped), Subset(train, kept), test):
            _evaluate(model, DataLoader(part, 128))

    return epoch


@torch.no_grad()
def _evaluate(model: nn.Module, loader: DataLoader[Any]) -> tuple[float, int]:
    model.eval()
    loss_sum, correct = 0.0, 0
    for input, label in loader:
        logits = model(input)
        loss_sum += F.cross_entropy(logits, label, reduction="sum").item()
        correct += int((logits.argmax(1) == label).sum())
    return loss_sum, correct


def _in_a_process(which: str, root: Path) -> float:
    """Seconds measured in a process of its own: a run changes how its process keeps memory."""
    command = [sys.executable, "-m", "benchmarks.epochs", which, str(root)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


SIDES = {
    "trainer": lambda root: fit_seconds(root, *SMALL_VGG),
    "plain": lambda root: plain_seconds(root, *SMALL_VGG),
}


def measure(root: Path | None) -> Iterator[Ratio]:
    """Both comparisons, and neither without images to train on."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    if root is None:
        print("epochs need real images: make bench ARGS=data")
        return
    ours, other, ratio = side_by_side(
        lambda: _in_a_process("trainer", root), lambda: _in_a_process("plain", root), ROUNDS
    )
    yield Ratio("epoch of vgg11 through Trainer / plain loop", "s", ours, other, ratio, "<= 1")
    watched = "monitor=[memorization,dynamics,gradients]"
    ours, other, ratio = side_by_side(
        lambda: fit_seconds(root, "model=cnn", watched),
        lambda: fit_seconds(root, "model=cnn", "monitor=memorization"),
        ROUNDS,
    )
    name = "epoch of cnn with / without dynamics and gradients"
    yield Ratio(name, "s", ours, other, ratio, "<= 1.15")


if __name__ == "__main__":
    print(SIDES[sys.argv[1]](Path(sys.argv[2])))
