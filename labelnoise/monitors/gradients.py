"""Comparison of the gradients of clean and of noisy samples."""

from __future__ import annotations

import logging

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labelnoise.checks import check_word
from labelnoise.data.batch import Split
from labelnoise.data.module import data_of
from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier, classifier_of, evaluating
from labelnoise.measures.gradients import (
    PAIRS,
    add_to,
    compared_with_total,
    gradient_scalars,
    inner_products,
    pair_angles,
    per_sample_gradients,
    summed_gradient,
    trainable,
    zero_gradient,
)
from labelnoise.monitors.monitor import KeptArrays, Monitor, probe_of
from labelnoise.run_directory import RunDirectory
from labelnoise.seeding import stream

log = logging.getLogger(__name__)

PER_SAMPLE = ("last", "all", "none")
MOST_PROBED = 1000
# Largest number of entries in the matrix of per-sample gradients: 800 MB in single precision.
MOST_NUMBERS = 200_000_000
ANGLE_BINS = np.linspace(0, 180, 37)


class GradientMonitor(KeptArrays, Monitor):
    """Logs ``gradients/*``: whether clean or noisy samples drive the training.

    g_clean,k and g_noise,k are the gradients of the loss summed over the clean and over the noisy
    samples of true class k, divided by the number of all samples. Their sum over k is the gradient
    of the mean loss. The logged metrics are:

    - ``dominance`` = sqrt(sum_k |g_clean,k|^2 / sum_k |g_noise,k|^2). Clean-priority learning ends
      when it falls to 1, near the best step to stop.
    - ``alpha`` = -sum_k <g_noise,k, g_clean,k> / sum_k |g_clean,k|^2, the share of the clean
      gradient that the noisy samples cancel. In the theory g_noise = -alpha g_clean, and alpha
      grows to 1.
    - ``cos_clean_noisy``: the cosine between the concatenated g_clean,k and the concatenated
      g_noise,k of all classes.
    - ``norm_clean``, ``norm_noisy``, ``norm_total``, ``cos_total_clean``, ``cos_total_noisy``,
      ``dominance_summed``, ``alpha_summed``, ``cos_clean_noisy_summed``: of the sums g_clean and
      g_noise over all classes. With large steps the network swings between the classes, and the
      last three metrics swing too.
    - ``angle_clean_clean``, ``angle_clean_noisy``, ``angle_noisy_noisy``: mean angles in degrees
      between the gradients of two samples of one true class.

    :meth:`save` writes gradients.npz: ``steps`` (T,); ``layers`` (L,) names; by layer (T, L)
    ``norm_clean``, ``norm_noisy``, ``norm_total``, ``cos_clean_noisy``, ``cos_total_clean`` and
    ``cos_total_noisy`` (the part of the noisy samples is the latent gradient bias of
    arXiv 2406.00396); by true class (T, K) ``class_norm_clean``, ``class_norm_noisy`` and
    ``class_cos_clean_noisy``; and ``angle_histogram`` (T, 3, bins), counts of clean-clean,
    clean-noisy and noisy-noisy pairs, with ``angle_edges``.

    The loss is the cross-entropy with the given labels, independent of the loss of a technique.
    Gradients are computed in evaluation mode. Weights, buffers, gradients and random streams of the
    training do not change, bit for bit. The monitor uses the true labels.
    Source: arXiv 2306.02533 (clean-priority learning).

    Args:
        every_n_steps: the interval; None: one epoch.
        probe_size: number of training samples in the sums, drawn by the seed; None: all samples,
            but at most 1,000.
        per_sample: parameters for the per-sample gradients: "last" (of the last layer), "all", or
            "none" for no angles.
        per_sample_size: number of probe samples with per-sample gradients; half of them are noisy
            if the probe has enough noisy samples.
        batch_size: number of samples in a batch.
        seed: seed of the draws.

    Raises:
        InputError: an unknown ``per_sample``, or a number out of range; before training, data with
            unknown true labels; when training starts, a probe larger than the training set, or too
            many numbers for ``per_sample=all``.
    """

    records = ("gradients",)
    needs_truth = True

    def __init__(
        self,
        every_n_steps: int | None = None,
        probe_size: int | None = None,
        per_sample: str = "last",
        per_sample_size: int = 64,
        batch_size: int = 250,
        seed: int = 0,
    ) -> None:
        super().__init__(every_n_steps)
        check_word("monitor.gradients.per_sample", per_sample, PER_SAMPLE)
        self.check_numbers(
            probe_size=probe_size, per_sample_size=per_sample_size, batch_size=batch_size
        )
        self.probe_size = probe_size
        self.per_sample = per_sample
        self.per_sample_size = per_sample_size
        self.batch_size = batch_size
        self.seed = seed
        self.steps, self.arrays = [], {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = classifier_of(trainer)
        train = data_of(trainer).train
        if self.probe_size is not None and self.probe_size > len(train):
            raise InputError(
                f"monitor.gradients.probe_size is {self.probe_size} but there are {len(train)} "
                f"training samples; write 2 to {len(train)}, or null"
            )
        probe = probe_of(train, self.probe_size or MOST_PROBED, self.seed)
        if not probe.is_noisy.any():
            log.info("gradients: the %d samples of the probe have no wrong label", len(probe))
        self.groups = _groups(probe, data_of(trainer).num_classes)
        self.probed = len(probe)
        self.compared = probe.subset(self._compared(probe))
        self.layers = list(trainable(module.model))
        numbers = sum(trainable(module.model)[name].numel() for name in self._compared_layers())
        if numbers * len(self.compared) > MOST_NUMBERS:
            raise InputError(
                f"monitor.gradients.per_sample={self.per_sample} with {len(self.compared)} samples "
                f"is {numbers * len(self.compared):,} numbers, more than {MOST_NUMBERS:,}: write "
                "per_sample=last, or a smaller per_sample_size"
            )

    def _compared(self, probe: Split) -> Int[Tensor, " s"]:
        """The probe samples with per-sample gradients; half of them noisy if possible."""
        if self.per_sample == "none":
            return torch.arange(0)
        order = torch.randperm(len(probe), generator=stream(self.seed, "per_sample"))
        noisy = probe.is_noisy.cpu()[order]
        wrong = order[noisy][: self.per_sample_size // 2]
        return torch.cat([order[~noisy][: self.per_sample_size - len(wrong)], wrong])

    def _compared_layers(self) -> list[str]:
        if self.per_sample != "last":
            return self.layers
        last = self.layers[-1].rpartition(".")[0]
        return [name for name in self.layers if name.rpartition(".")[0] == last]

    def observe(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> dict[str, float]:
        model = module.model
        with evaluating(model), torch.enable_grad():
            scalars, arrays = self._sums(model)
            if self.per_sample != "none":
                split = self.compared
                each = per_sample_gradients(model, split, self._compared_layers())
                angles = pair_angles(each, split.clean_label, split.is_noisy)
                scalars |= {f"angle_{k}": v.mean().item() for k, v in angles.items()}
                arrays["angle_histogram"] = torch.stack([_histogram(angles[k]) for k in PAIRS])
        self.keep(trainer.global_step, arrays)
        return {f"gradients/{name}": value for name, value in scalars.items()}

    def _sums(self, model: nn.Module) -> tuple[dict[str, float], dict[str, Tensor]]:
        clean, noisy = zero_gradient(model), zero_gradient(model)
        by_class = []
        for clean_samples, noisy_samples in self.groups:
            clean_part = summed_gradient(model, clean_samples, self.batch_size)
            noisy_part = summed_gradient(model, noisy_samples, self.batch_size)
            by_class.append(inner_products(clean_part, noisy_part, self.probed).sum(1))
            add_to(clean, clean_part)
            add_to(noisy, noisy_part)
        classes = torch.stack(by_class, dim=1)
        layers = inner_products(clean, noisy, self.probed)
        norm_total, cos_total_clean, cos_total_noisy = compared_with_total(
            clean, noisy, self.probed
        )
        arrays = {
            "norm_clean": layers[0].sqrt(),
            "norm_noisy": layers[1].sqrt(),
            "norm_total": norm_total,
            "cos_clean_noisy": layers[2] / (layers[0] * layers[1]).sqrt(),
            "cos_total_clean": cos_total_clean,
            "cos_total_noisy": cos_total_noisy,
            "class_norm_clean": classes[0].sqrt(),
            "class_norm_noisy": classes[1].sqrt(),
            "class_cos_clean_noisy": classes[2] / (classes[0] * classes[1]).sqrt(),
        }
        scalars = gradient_scalars(classes.sum(1).tolist(), layers.sum(1).tolist())
        return scalars, {name: value.float() for name, value in arrays.items()}

    def save(self, run: RunDirectory) -> None:
        """Write the arrays to gradients.npz."""
        facts = {"layers": np.array(self.layers), "angle_edges": ANGLE_BINS}
        self.write(run.gradients, facts)


def _groups(probe: Split, num_classes: int) -> list[tuple[Split, Split]]:
    """The clean and the noisy samples of each true class; either may be empty."""

    def members(side: Tensor, k: int) -> Split:
        return probe.subset((side & (probe.clean_label == k)).nonzero().flatten())

    return [(members(~probe.is_noisy, k), members(probe.is_noisy, k)) for k in range(num_classes)]


def _histogram(angles: Float[Tensor, " pairs"]) -> Int[Tensor, " bins"]:
    return torch.from_numpy(np.histogram(angles.double().cpu().numpy(), ANGLE_BINS)[0])
