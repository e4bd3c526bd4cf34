"""Attribution maps: the pixels of noisy and clean training images that support a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from labelnoise.attribution.checkpoint import TrainedRun, load_trained
from labelnoise.attribution.figure import MOST_DRAWN, Map, Sample, draw_maps
from labelnoise.attribution.shapley import attribute, check_method, incompleteness, logit_difference
from labelnoise.checks import COUNT, SEED, Range, check_number
from labelnoise.config.options import check_value
from labelnoise.data.batch import Split
from labelnoise.errors import InputError
from labelnoise.files.writing import write_arrays
from labelnoise.seeding import derive_seed, stream


class Choice(NamedTuple):
    """Positions in the training split: explained noisy and clean images, and the background."""

    noisy: Int[Tensor, " n"]
    clean: Int[Tensor, " m"]
    background: Int[Tensor, " b"]


def choose(is_noisy: Bool[Tensor, " n_train"], samples: int, background: int, seed: int) -> Choice:
    """Draw the images to explain and, from the other clean images, the background.

    There are ``samples`` noisy and ``samples`` clean images, or fewer if fewer exist. With a larger
    ``samples`` the first images are the same.

    Raises:
        InputError: a number below 1, or a background that leaves no clean image to explain.

    Example:
        >>> chosen = choose(torch.tensor([True, False, False, False]), 5, background=2, seed=0)
        >>> [len(part) for part in chosen]
        [1, 1, 2]
    """
    noisy, clean = is_noisy.nonzero().flatten(), (~is_noisy).nonzero().flatten()
    check_number("samples", samples, COUNT)
    if not 1 <= background < len(clean):
        raise InputError(
            f"background must be between 1 and {len(clean) - 1}, got {background}: the training "
            f"set has {len(clean)} clean images, and at least one must be left to explain"
        )
    noisy = noisy[torch.randperm(len(noisy), generator=stream(seed, "attribution", "noisy"))]
    clean = clean[torch.randperm(len(clean), generator=stream(seed, "attribution", "clean"))]
    explained = min(samples, len(clean) - background)
    return Choice(noisy[:samples], clean[:explained], clean[len(clean) - background :])


@dataclass(frozen=True)
class Explained:
    """The explained training images of a run: first the noisy, then the clean images.

    Attributes:
        index, source_index: (n,) int64, positions in the training split and in the data set.
        label, clean_label, prediction: (n,) int64, the given, true and predicted classes.
        is_noisy: (n,) bool, whether the given label is wrong.
        image: (n, c, h, w) uint8.
        attribution_given, attribution_true: (n, c, h, w) float32, for the logits of the given and
            of the true class; equal for clean images.
        difference_given, difference_true: (n,) float32, the logit minus its mean over the
            background; ideally the sum of the attributions.
        background: (b,) int64, positions of the background in the training split.
        class_names: the K names.
        method, draws, seed, checkpoint: the options of the maps.
    """

    index: NDArray[np.int64]
    source_index: NDArray[np.int64]
    label: NDArray[np.int64]
    clean_label: NDArray[np.int64]
    prediction: NDArray[np.int64]
    is_noisy: NDArray[np.bool_]
    image: NDArray[np.uint8]
    attribution_given: NDArray[np.float32]
    attribution_true: NDArray[np.float32]
    difference_given: NDArray[np.float32]
    difference_true: NDArray[np.float32]
    background: NDArray[np.int64]
    class_names: list[str]
    method: str
    draws: int
    seed: int
    checkpoint: str

    @property
    def incompleteness(self) -> float | None:
        """:func:`incompleteness` of the maps for the given and the true classes."""
        maps = np.concatenate([self.attribution_given, self.attribution_true])
        difference = np.concatenate([self.difference_given, self.difference_true])
        return incompleteness(torch.from_numpy(maps), torch.from_numpy(difference))

    def describe(self) -> str:
        """A summary of the explained images and of the completeness of the maps."""
        noisy, fitted = self.is_noisy, self.prediction == self.label
        true = int((self.prediction == self.clean_label)[noisy].sum())
        draws = f" ({self.draws} draws)" if self.method == "gradient_shap" else ""
        lines = [
            f"{self.method}{draws} of {self.checkpoint}, seed {self.seed}, "
            f"against {len(self.background)} clean training images",
            f"noisy: {noisy.sum()} explained, {fitted[noisy].sum()} predicted as the given class, "
            f"{true} as the true class",
            f"clean: {(~noisy).sum()} explained, {fitted[~noisy].sum()} predicted as their class",
        ]
        if self.incompleteness is not None:
            missed = f"{self.incompleteness:.1%}"
            lines.append(f"the sums of the maps miss the logit differences by {missed} (rms)")
        return "\n".join(lines)

    def save(self, directory: Path) -> list[Path]:
        """Write attributions.npz, noisy.png and clean.png, and return their paths.

        A figure shows the first 16 images. The files replace the files of an earlier call.
        """
        directory.mkdir(exist_ok=True)
        paths = [directory / "attributions.npz"]
        write_arrays(paths[0], asdict(self))
        for name, chosen in (("noisy", self.is_noisy), ("clean", ~self.is_noisy)):
            picture = directory / f"{name}.png"
            picture.unlink(missing_ok=True)
            if chosen.any():
                draw_maps(self._tiles(np.flatnonzero(chosen)[:MOST_DRAWN])).savefig(
                    picture, dpi=200
                )
                paths.append(picture)
        return paths

    def _tiles(self, places: NDArray[np.int64]) -> list[Sample]:
        return [
            Sample(
                self.image[i],
                self.class_names[self.prediction[i]],
                [
                    Map(role, self.class_names[k[i]], maps[i].sum(0))
                    for role, k, maps in (
                        ("given", self.label, self.attribution_given),
                        ("true", self.clean_label, self.attribution_true),
                    )
                    if self.is_noisy[i] or role == "given"
                ],
            )
            for i in places
        ]


def explain_run(
    path: str | Path,
    *,
    checkpoint: str | Path = "selected",
    samples: int = 100,
    background: int = 100,
    method: str = "gradient_shap",
    draws: int = 200,
    seed: int = 0,
    allow_targets: Sequence[str] = (),
) -> Explained:
    """Attribute the logits of the given and of the true class to the pixels of training images.

    Args:
        path: the run directory.
        checkpoint, allow_targets: as in :func:`load_trained`.
        samples, background, seed: as in :func:`choose`. The defaults, 100 noisy and 100 clean
            images against 100 clean ones, are as in the code of arXiv 2505.18909.
        method, draws: as in :func:`attribute`.

    Raises:
        InputError: the run cannot be loaded, its data are not images, their true labels are
            unknown, or a bad argument.
    """
    check_method(method, draws)
    check_value("seed", seed, int, SEED)
    run = _load_images(path, checkpoint, allow_targets)
    train, model = run.datamodule.train, run.classifier.model
    # The default of 100 is allowed on a smaller set: fewer images are then explained.
    check_value("samples", samples, int, Range(1, max(len(train), 100), whole=True))
    chosen = choose(train.is_noisy, samples, background, seed)
    split = train.subset(torch.cat([chosen.noisy, chosen.clean]))
    input, reference = split.batch().input, train.batch(chosen.background).input
    difference_given, difference_true = _differences(run, split, input, reference)
    seeds = [derive_seed(seed, "attribution", int(i)) for i in split.source_index]
    attributed = partial(_attribute, model, input, reference, method, draws, seeds)
    given = attributed(split.label)
    true = given.clone()
    true[split.is_noisy] = attributed(split.clean_label, split.is_noisy)
    return Explained(
        index=torch.cat([chosen.noisy, chosen.clean]).numpy(),
        source_index=split.source_index.numpy(),
        label=split.label.numpy(),
        clean_label=split.clean_label.numpy(),
        prediction=run.classifier.logits(split).argmax(1).numpy(),
        is_noisy=split.is_noisy.numpy(),
        image=split.input[:].numpy(),
        attribution_given=given.float().numpy(),
        attribution_true=true.float().numpy(),
        difference_given=difference_given.float().numpy(),
        difference_true=difference_true.float().numpy(),
        background=chosen.background.numpy(),
        class_names=[str(name) for name in run.datamodule.class_names],
        method=method,
        draws=draws,
        seed=seed,
        checkpoint=str(run.checkpoint),
    )


def _load_images(
    path: str | Path, checkpoint: str | Path, allow_targets: Sequence[str]
) -> TrainedRun:
    """A run on images with known true labels."""
    run = load_trained(path, checkpoint, allow_targets)
    train = run.datamodule.train
    if train.input.dtype != torch.uint8 or train.input.ndim != 4:
        raise InputError(
            f"{path} trained on {type(run.datamodule).__name__}, but attribution explains images: "
            "choose a run on images, for example with data=cifar10"
        )
    if not train.truth_known:
        raise InputError(
            f"attribution compares noisy with clean images, but the true labels of {path} are "
            "unknown: choose a run with data.truth=folders, or a run that flips labels itself"
        )
    return run


def _differences(run: TrainedRun, split: Split, input: Tensor, reference: Tensor) -> list[Tensor]:
    """The logit differences of the given and of the true classes."""
    differences = [
        logit_difference(run.classifier.model, input, label, reference)
        for label in (split.label, split.clean_label)
    ]
    if not torch.stack(differences).isfinite().all():
        raise InputError(
            f"the network of {run.checkpoint} has diverged: its outputs are not finite"
        )
    return differences


def _attribute(
    model: nn.Module,
    input: Tensor,
    reference: Tensor,
    method: str,
    draws: int,
    seeds: Sequence[int],
    target: Tensor,
    places: Tensor | slice = slice(None),
) -> Tensor:
    """The maps of the samples at ``places`` for their ``target`` classes, a seed a sample."""
    return attribute(
        model,
        input[places],
        target[places],
        reference,
        method=method,
        draws=draws,
        seeds=[seeds[i] for i in torch.arange(len(input))[places].tolist()],
    )


def report_attribution(run: str | Path, **options: Any) -> str:
    """Explain ``run`` and write RUN/attribution; returns a summary. See :func:`explain_run`."""
    explained = explain_run(run, **options)
    paths = explained.save(Path(run) / "attribution")
    return "\n".join([explained.describe(), *(f"wrote {path}" for path in paths)])
