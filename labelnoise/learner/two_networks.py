"""Two networks that train on the same batches with a loss of both logits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.optim import Optimizer

from labelnoise.data.batch import Batch
from labelnoise.data.module import data_of
from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.learner.label_metrics import measure_test
from labelnoise.learner.loss import cross_entropy, stand_in, weighted_mean


class Term(NamedTuple):
    """A term of the loss: the losses of the samples in a batch, and the samples it keeps."""

    loss: Float[Tensor, " n"]
    kept: Bool[Tensor, " n"]


PairLoss = Callable[[Tensor, Tensor, Batch], list[Term]]


def each_alone(first: Tensor, second: Tensor, batch: Batch) -> list[Term]:
    """Cross-entropy of each network on all samples: two plain trainings."""
    everyone = torch.ones_like(batch.label, dtype=torch.bool)
    return [Term(cross_entropy(logits, batch), everyone) for logits in (first, second)]


class TwoNetworkClassifier(NoisyLabelClassifier):
    """Trains ``model`` and ``second`` on the sum of the terms of ``pair_loss``.

        loss = sum_t sum_i w_i kept_ti l_ti / sum_i w_i kept_ti

    The sums are over the terms t and the samples i of one batch, on all processes. w is
    ``sample_weight``. A term that keeps no sample adds 0.

    One optimizer has the parameters of both networks. The networks share no parameters, so SGD and
    Adam take the same steps as two optimizers with the same settings. Gradients are clipped by the
    norm of each network separately. Both networks are in training mode; their dropout draws from
    torch's global stream in turn.

    Monitors, validation and ``final`` measure ``model``. The only metric of ``second`` is
    ``test/acc_second``.

    Args:
        model, second: map inputs (n, ...) to logits (n, K); same architecture.
        optimizer, **options: as in :class:`labelnoise.learner.classifier.NoisyLabelClassifier`.

    Attributes:
        pair_loss: maps the logits of both networks and the batch to terms; :func:`each_alone`
            unless a technique replaces it. Every process calls it at every step, also without
            samples.
    """

    network_count: ClassVar[int] = 2

    def __init__(
        self,
        model: nn.Module,
        second: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.second = second
        self._prepare(second)
        self.pair_loss: PairLoss = each_alone

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        return (self.model, self.second)

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        return self._train_on(batch, *(self.forward(batch.input, net) for net in self.networks))

    def _empty_step(self, batch: Batch) -> dict[str, Tensor]:
        # A forward pass through both networks gives gradients of 0 for the other processes.
        zeros = stand_in(batch)
        return self._train_on(batch, *(self.forward(zeros, net)[:0] for net in self.networks))

    def _train_on(self, batch: Batch, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        weight = self.sample_weight[batch.index].to(first.dtype)
        terms = self.pair_loss(first, second, batch)
        loss = torch.stack([weighted_mean(term.loss, weight * term.kept) for term in terms]).sum()
        return {"loss": loss, "logits": first.detach()}

    def final_metrics(self) -> dict[str, float]:
        test, final = data_of(self.trainer).test, super().final_metrics()
        if test is None:
            return final
        second = measure_test(self.logits(test, self.second), test)
        return {**final, "test/acc_second": second["acc"]}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if gradient_clip_val and gradient_clip_algorithm in (None, "norm"):
            for network in self.networks:
                nn.utils.clip_grad_norm_(network.parameters(), gradient_clip_val)
        else:
            super().configure_gradient_clipping(
                optimizer, gradient_clip_val, gradient_clip_algorithm
            )
