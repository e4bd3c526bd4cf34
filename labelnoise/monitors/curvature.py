"""Curvature of the training loss."""

from __future__ import annotations

import math

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import SGD, Optimizer

from labelnoise.data.module import data_of
from labelnoise.learner.classifier import NoisyLabelClassifier, evaluating
from labelnoise.measures.curvature import frobenius_norm, hessian_vector_product, top_eigenvalue
from labelnoise.measures.gradients import trainable
from labelnoise.monitors.monitor import Monitor, probe_of
from labelnoise.seeding import stream


class CurvatureMonitor(Monitor):
    """Logs ``curvature/*``: properties of the Hessian H of the mean training loss over a probe.

    - ``top_eigenvalue``: the largest eigenvalue lambda of H, by Lanczos.
    - ``frobenius_norm`` = sqrt(sum_ij H_ij^2), by Hutchinson's method, with its standard error
      ``frobenius_norm_error``.
    - ``sharpness_times_lr`` = eta lambda / (2 (1 + momentum)); eta is the learning rate of the next
      step. Above 1, full-batch gradient descent on a quadratic loss diverges; 1 is "the edge of
      stability". Mini-batches become unstable at lower values. Only for SGD without Nesterov
      momentum and dampening.

    The loss is the cross-entropy with the given labels, independent of the loss, the sample weights
    and the weight decay of the training. It is differentiated in evaluation mode. Weights, buffers,
    gradients and random streams of the training do not change, bit for bit. The random vectors are
    the same at every observation, so that only H changes.

    Cost: at most ``iterations + vectors`` Hessian-vector products, each about two gradients of the
    probe, and ``iterations`` vectors of the size of the weights in double precision.

    Args:
        every_n_steps: the interval; None: one epoch.
        probe_size: number of training samples in the mean, drawn by the seed.
        iterations: largest number of Lanczos iterations.
        vectors: number of random vectors for the norm.
        batch_size: number of samples in a batch.
        seed: seed of the draws.

    Raises:
        InputError: a number out of range.
    """

    records = ("curvature",)

    def __init__(
        self,
        every_n_steps: int | None = None,
        probe_size: int = 200,
        iterations: int = 12,
        vectors: int = 4,
        batch_size: int = 200,
        seed: int = 0,
    ) -> None:
        super().__init__(every_n_steps)
        self.check_numbers(
            probe_size=probe_size, iterations=iterations, vectors=vectors, batch_size=batch_size
        )
        self.probe_size = probe_size
        self.iterations = iterations
        self.vectors = vectors
        self.batch_size = batch_size
        self.seed = seed

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.probe = probe_of(data_of(trainer).train, self.probe_size, self.seed)

    def observe(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> dict[str, float]:
        model = module.model
        size = sum(parameter.numel() for parameter in trainable(model).values())

        def product(vector: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
            return hessian_vector_product(model, self.probe, vector, self.batch_size)

        with evaluating(model):
            start = torch.randn(size, generator=stream(self.seed, "lanczos"))
            top = top_eigenvalue(product, start.to(module.device), self.iterations)
            signs = stream(self.seed, "hutchinson")
            vectors = (
                (2.0 * torch.randint(2, (size,), generator=signs) - 1).to(module.device)
                for _ in range(self.vectors)
            )
            norm = frobenius_norm(product, vectors, known=top)
        metrics = {
            "top_eigenvalue": top.eigenvalue,
            "frobenius_norm": norm.value,
            "frobenius_norm_error": norm.standard_error,
        }
        limit = stable_eigenvalue(trainer.optimizers[0])
        if limit is not None:
            metrics["sharpness_times_lr"] = top.eigenvalue / limit
        return {f"curvature/{name}": value for name, value in metrics.items()}


def stable_eigenvalue(optimizer: Optimizer) -> float | None:
    """2 (1 + momentum) / eta: the largest curvature of a quadratic loss with stable full-batch SGD.

    None for other optimizers, Nesterov momentum and dampening. Infinite for a learning rate of 0.

    Example:
        >>> stable_eigenvalue(SGD([torch.zeros(1)], lr=0.5, momentum=0.5))
        6.0
    """
    group = optimizer.param_groups[0]
    if not isinstance(optimizer, SGD) or group["nesterov"] or group["dampening"]:
        return None
    rate = float(group["lr"])
    return 2 * (1 + group["momentum"]) / rate if rate > 0 else math.inf
