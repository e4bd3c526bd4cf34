"""The base class of techniques that train two networks: schedule, selection and metrics."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Batch
from labelnoise.data.loaders import passes_so_far
from labelnoise.data.module import data_of
from labelnoise.learner.classifier import classifier_of
from labelnoise.learner.two_networks import Term, TwoNetworkClassifier
from labelnoise.processes.distributed import from_rank_zero, gather_samples
from labelnoise.selection import estimate_noise_rate
from labelnoise.techniques.noise_rate import (
    ESTIMATE,
    check_noise_rate,
    noise_rate_knowledge,
    noise_rate_of,
    rate_source,
)
from labelnoise.techniques.technique import Technique

log = logging.getLogger(__name__)


def keep_share(epoch: int, forget_rate: float, warmup_epochs: int) -> float:
    """R(t) = 1 - min(t / T_k * tau, tau): the share of a batch that epoch t trains on.

    Args:
        epoch: t, the number of complete epochs; the first epoch trains on all samples.
        forget_rate: tau in [0, 1), the share that is finally left out.
        warmup_epochs: T_k, at least 1; from t = T_k on the share tau is left out.

    Source: Co-teaching (NeurIPS 2018). Counting t from 0 is our choice.

    Example:
        >>> [round(keep_share(epoch, 0.4, 10), 2) for epoch in (0, 5, 10, 50)]
        [1.0, 0.8, 0.6, 0.6]
    """
    return 1.0 - min(epoch / warmup_epochs * forget_rate, forget_rate)


class TwoNetworks(Technique):
    """Trains two networks on the small-loss samples of every batch.

    A subclass defines the losses (:meth:`losses`) and the selection (:meth:`choose`). The share is
    of the whole batch, over all processes. An epoch of the schedule is one pass over the training
    data. On signal-noise data all samples are in one batch, so an epoch is one step.

    Logged metrics, each over the steps since the last log:

    - ``selection/precision``: share of clean samples among the samples that the first network
      chose. Only this metric uses the true labels; it is left out if they are unknown.
    - ``selection/keep_share``: R(t) at the last of these steps.
    - ``networks/agreement``: share of the samples in the batches for which both networks predicted
      the same class before the step.

    With ``forget_rate="estimate"`` tau is the noise rate estimated from the confident joint of the
    first network (:func:`labelnoise.selection.estimate_noise_rate`) on all training samples. It is
    estimated after each of the first T_k passes; the last estimate then stays (our choice).

    Args:
        forget_rate: tau, the share of every batch that is finally left out: a number in [0, 1);
            None for the realised rate of the noise that the run drew itself (oracle knowledge);
            "estimate" for an estimate without true labels.
        warmup_epochs: T_k, the number of passes in which the left-out share grows to tau.
        every_n_steps: interval of the logs; None: one epoch.

    Raises:
        InputError: a number out of range; when training starts, ``forget_rate`` None if the run
            did not draw the noise itself.
    """

    role = "networks"
    refuses: ClassVar[dict[str, str]] = {
        "loss": "would replace the cross-entropy that selects the samples",
        "batch": "would mix samples that the networks have to judge separately",
        "selection": "would select samples a second time",
        "weights": "would reset the weights by measurements of the first network only",
    }
    learner = TwoNetworkClassifier
    name: ClassVar[str]  # the name in technique=, for messages
    state = ("counts", "share", "precision", "rate", "estimated_after")

    def __init__(
        self,
        forget_rate: float | str | None = None,
        warmup_epochs: int = 10,
        every_n_steps: int | None = None,
    ) -> None:
        check_noise_rate(f"technique.{self.name}.forget_rate", forget_rate)
        check_options_of(
            type(self), f"technique.{self.name}.",
            warmup_epochs=warmup_epochs, every_n_steps=every_n_steps,
        )  # fmt: skip
        self.forget_rate = forget_rate
        self.rate: float | None = None  # tau as a number, once it is known
        self.estimated_after = 0  # passes
        self.warmup_epochs = warmup_epochs
        self.every_n_steps = every_n_steps
        self.share = 1.0
        self.precision: float | None = None
        # Since the last log: samples seen, chosen, chosen and clean, and with agreeing predictions.
        self.counts = torch.zeros(4, dtype=torch.long)

    def losses(self, first: Tensor, second: Tensor, label: Tensor) -> Float[Tensor, "n terms"]:
        """Losses of the samples in a batch from both logits; a column for each term."""
        raise NotImplementedError

    def choose(self, loss: Float[Tensor, "n terms"], share: float) -> Bool[Tensor, "n terms"]:
        """Which samples of the whole batch each term trains on; keeps the share ``share``.

        The last column is the choice of the first network.
        """
        raise NotImplementedError

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            assert isinstance(pl_module, TwoNetworkClassifier)
            option = f"technique.{self.name}.forget_rate"
            self.rate = noise_rate_of(option, self.forget_rate, data_of(trainer))
            pl_module.pair_loss = self.pair_loss

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        train = data_of(trainer).train
        self._is_noisy = train.is_noisy.to(pl_module.device) if train.truth_known else None
        self.counts = self.counts.to(pl_module.device)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        passes = passes_so_far(trainer)
        if self.forget_rate == ESTIMATE and self.estimated_after < passes <= self.warmup_epochs:
            self._estimate(trainer, passes)
        self.share = keep_share(passes, self.rate or 0.0, self.warmup_epochs)

    def _estimate(self, trainer: pl.Trainer, passes: int) -> None:
        """Estimate tau from the predictions of the first network on all training samples."""
        train = data_of(trainer).train
        # On the CPU, from the process of rank 0, so that all processes keep the same samples.
        logits = from_rank_zero(classifier_of(trainer).logits(train)).cpu()
        estimate = estimate_noise_rate(logits, train.label.cpu())
        self.estimated_after = passes
        if estimate is None:
            log.warning("%s: no loss is finite, so the noise rate is not estimated", self.name)
            return
        self.rate = estimate
        if passes == self.warmup_epochs:
            log.info("%s: the noise rate is estimated as %.4f", self.name, estimate)

    def pair_loss(self, first: Tensor, second: Tensor, batch: Batch) -> list[Term]:
        """The loss terms; samples are chosen among the samples of all processes."""
        loss = self.losses(first, second, batch.label)
        alike = (first.argmax(1) == second.argmax(1)).to(loss.dtype)
        index, rows = gather_samples(batch.index, torch.cat([loss.detach(), alike[:, None]], 1))
        kept = self.choose(rows[:, :-1], self.share)
        self._count(index, kept[:, -1], rows[:, -1].bool())
        ours = kept[torch.searchsorted(index, batch.index)]
        return [Term(*columns) for columns in zip(loss.T, ours.T, strict=True)]

    def _count(
        self, index: Int[Tensor, " n"], chosen: Bool[Tensor, " n"], alike: Bool[Tensor, " n"]
    ) -> None:
        seen = torch.ones_like(chosen)
        clean = torch.zeros_like(chosen) if self._is_noisy is None else ~self._is_noisy[index]
        self.counts += torch.stack([seen, chosen, chosen & clean, alike]).sum(1)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any
    ) -> None:
        new, every = self.is_new_step(trainer), self.every_n_steps
        if new and every is not None and trainer.global_step % every == 0:
            self._record(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.every_n_steps is None:
            self._record(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._record(trainer)  # the steps of an incomplete epoch

    def _record(self, trainer: pl.Trainer) -> None:
        seen, chosen, clean, alike = self.counts.tolist()
        if not seen:
            return
        self.counts.zero_()
        metrics = {}
        if self._is_noisy is not None:
            self.precision = clean / chosen if chosen else float("nan")
            metrics["selection/precision"] = self.precision
        metrics |= {"selection/keep_share": self.share, "networks/agreement": alike / seen}
        classifier_of(trainer).record(metrics)

    def report(self) -> dict[str, Any]:
        return {
            "forget_rate": self.rate,
            "forget_rate_from": rate_source(self.forget_rate),
            "keep_share": self.share,
            "precision": self.precision,
        }

    def oracle_knowledge(self) -> list[str]:
        return noise_rate_knowledge(self.forget_rate)
