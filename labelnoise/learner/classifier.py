"""The LightningModule: the weighted mean of per-sample losses, for any network and any data."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from labelnoise.data.batch import Batch, Split
from labelnoise.data.module import data_of
from labelnoise.learner.history import History
from labelnoise.learner.label_metrics import SPLIT_METRICS
from labelnoise.learner.loss import (
    PrepareBatch,
    SampleLoss,
    as_it_is,
    cross_entropy,
    stand_in,
    weighted_mean,
)
from labelnoise.processes.distributed import gather_rows, rank

log = logging.getLogger(__name__)

# The mean cross-entropy of random predictions of K classes is log K, which is below 12 in practice.
# A loss above LARGEST_LOSS means that training diverges.
LARGEST_LOSS = 1e4

_HALF = (torch.float16, torch.bfloat16)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block: no dropout, batch norm with running statistics."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class NoisyLabelClassifier(pl.LightningModule):
    """Trains a network on given labels: mean over the batch of sample_weight times sample_loss.

        loss = sum_i w_i l(f(x_i), label_i) / sum_i w_i

    The sums are over the samples of one batch, on all processes. With ``accumulate_grad_batches=k``
    the loss of a step is the mean of the losses of k batches. If the batches have equal sums of
    weights, this mean equals the loss of one batch of k times the size. If the sums differ (after a
    selection, or with a smaller last batch), the batches have equal weights and the samples do not.
    If an epoch ends within a group of k batches, Lightning still divides by k, so the last step of
    the epoch is smaller.

    Techniques act through three attributes: ``sample_loss`` (a function of logits and batch),
    ``sample_weight`` (one weight per training sample) and ``prepare_batch`` (changes a batch before
    the network reads it). Monitors only call ``logits``, ``measure`` and ``record``. True labels
    never enter the loss.

    Args:
        model: maps inputs (n, ...) to logits (n, K).
        optimizer: called with the parameters; for example
            ``functools.partial(torch.optim.SGD, lr=0.05)``.
        scheduler: called with the optimizer; for example
            ``functools.partial(StepLR, step_size=20)``. None keeps the learning rate constant.
        interval: the unit of the scheduler, ``"epoch"`` or ``"step"`` as in Lightning.
        eval_batch_size: number of samples in a forward pass of :meth:`logits`.
        channels_last: use the channels-last memory format for images and convolutions.
        compile: compile the model with torch.compile at its first call; the parameters keep their
            names.

    Attributes:
        sample_loss: per-sample loss; cross-entropy unless a technique replaces it.
        sample_weight: (n_train,) weights, all 1 unless a technique changes them; checkpoints keep
            them.
        prepare_batch: called with every training batch. If a technique mixes inputs here, the
            logits of the training pass are not the logits of the samples.
        history: the recorded metrics; checkpoints keep them.
        validated: the step of the last validation, and the logits of the validation split there.
    """

    # Number of networks that the constructor takes.
    network_count: ClassVar[int] = 1

    sample_weight: Tensor

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        interval: str = "epoch",
        eval_batch_size: int = 200,
        channels_last: bool = False,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.channels_last = channels_last
        self.compiled = compile
        self._prepare(model)
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.interval = interval
        self.eval_batch_size = eval_batch_size
        self.sample_loss: SampleLoss = cross_entropy
        self.prepare_batch: PrepareBatch = as_it_is
        self.register_buffer("sample_weight", torch.ones(0), persistent=False)
        self.history = History()
        self.validated: tuple[int, Tensor] = (-1, torch.zeros(0))
        self._warned: set[str] = set()

    def _prepare(self, network: nn.Module) -> None:
        """Set the memory format of a network and compile it, if these options are on."""
        if self.channels_last:
            for parameter in network.parameters():
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        if self.compiled:
            network.compile()

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """The networks that are trained. The first is ``model``, which monitors measure."""
        return (self.model,)

    def setup(self, stage: str) -> None:
        data_of(self.trainer).place_on(self.trainer.strategy.root_device)
        train = data_of(self.trainer).train
        if stage == "fit" and len(self.sample_weight) != len(train):
            dtype = next(self.model.parameters()).dtype
            self.sample_weight = torch.ones(len(train), dtype=dtype, device=self.device)

    def forward(
        self, input: Float[Tensor, "n ..."], network: nn.Module | None = None
    ) -> Float[Tensor, "n K"]:
        """Logits of ``model`` or of another network of :attr:`networks`.

        Logits in half precision are converted to float32, so losses and metrics are never computed
        in half precision.
        """
        if self.channels_last and input.ndim == 4:
            input = input.contiguous(memory_format=torch.channels_last)
        logits: Tensor = (self.model if network is None else network)(input)
        return logits.float() if logits.dtype in _HALF else logits

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        if len(batch.index) == 0:
            return self._empty_step(batch)
        return self._step(self.prepare_batch(batch))

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        logits = self.forward(batch.input)
        losses = self.sample_loss(logits, batch)
        loss = weighted_mean(losses, self.sample_weight[batch.index].to(losses.dtype))
        return {"loss": loss, "logits": logits.detach()}  # callbacks get the logits too

    @property
    def trains_on_samples(self) -> bool:
        """Whether the training pass computes the logits of unmixed samples."""
        return self.prepare_batch is as_it_is

    def _empty_step(self, batch: Batch) -> dict[str, Tensor]:
        """The step of a process without samples in the last batch; the gradients are 0.

        The network gets two samples of zeros, because some networks cannot reshape an empty batch
        and batch norm refuses a single sample.
        """
        logits = self.forward(stand_in(batch))
        weight = self.sample_weight[batch.index].to(logits.dtype)
        loss = 0.0 * logits.sum() + weighted_mean(weight, weight)
        return {"loss": loss, "logits": logits[:0].detach()}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Record the metrics of the whole validation split at the first batch of Lightning's loop.

        Techniques read these metrics from the history. The trainer of a run serves only the first
        batch.
        """
        if batch_idx == 0 and not self.trainer.sanity_checking:
            val = data_of(self.trainer).val
            assert val is not None, "Lightning validates only with a validation split"
            self.validated = (self.trainer.global_step, self.logits(val))
            metrics = self.measure("val", logits=self.validated[1])
            self.record(metrics)
            # Only for the progress bar.
            self.log_dict(metrics, batch_size=1, prog_bar=True, logger=False)

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer([p for network in self.networks for p in network.parameters()])
        if self.scheduler is None:
            return optimizer
        schedule = {"scheduler": self.scheduler(optimizer), "interval": self.interval}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    @torch.no_grad()
    def logits(self, split: Split, network: nn.Module | None = None) -> Float[Tensor, "n K"]:
        """Logits of a whole split in evaluation mode; changes neither the mode nor random streams.

        The precision is the trainer's, as in training. Every process computes all logits.
        ``network`` is a network of :attr:`networks`; None is ``model``.
        """
        network = self.model if network is None else network
        precision = None if self._trainer is None else self._trainer.precision_plugin
        arithmetic = nullcontext() if precision is None else precision.forward_context()
        with evaluating(network), arithmetic:
            outputs = []
            for batch in split.batches(self.eval_batch_size):
                input = batch.input.to(self.device)
                if precision is not None:
                    input = precision.convert_input(input)
                outputs.append(self.forward(input, network))
            return torch.cat(outputs).to(split.label.device)

    def measure(
        self, name: str, split: Split | None = None, logits: Tensor | None = None
    ) -> dict[str, float]:
        """The metrics of a split by :data:`SPLIT_METRICS`, at the current weights.

        Validation, monitors, ``final`` and the stopping rules use this method.

        Args:
            name: "train", "val" or "test"; the names of the metrics begin with it.
            split: a part of the split ``name``; None is the whole split.
            logits: the logits of the split; None computes them.
        """
        if split is None:
            split = getattr(data_of(self.trainer), name)
        metrics = SPLIT_METRICS[name](self.logits(split) if logits is None else logits, split)
        return {f"{name}/{metric}": value for metric, value in metrics.items()}

    def final_metrics(self) -> dict[str, float]:
        """The metrics of every existing split, for the report."""
        data = data_of(self.trainer)
        names = [name for name in SPLIT_METRICS if getattr(data, name) is not None]
        return {metric: v for name in names for metric, v in self.measure(name).items()}

    def record(self, metrics: dict[str, float]) -> None:
        """Add metrics to the history and to the loggers, at the current step of the trainer.

        With a schedule the metrics also get ``train/lr``, the learning rate of the next step.
        """
        step = self.trainer.global_step
        losses = [metrics[name] for name in ("train/loss", "val/loss") if name in metrics]
        if not all(map(math.isfinite, losses)):
            self._warn_once("the loss is not finite from step %d on: lower optimizer.lr", step)
        elif (worst := max(map(abs, losses), default=0.0)) > LARGEST_LOSS:
            self._warn_once("the loss explodes to %g at step %d: lower optimizer.lr", worst, step)
        if self.scheduler is not None:
            rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            metrics = {**metrics, "train/lr": float(rate)}
        self.history.record(step, metrics)
        for logger in self.loggers:
            logger.log_metrics(metrics, step)

    def _warn_once(self, message: str, *values: float) -> None:
        if message not in self._warned:
            self._warned.add(message)
            log.warning(message, *values)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["sample_weight"] = self.sample_weight
        checkpoint["history"] = self.history.rows
        # Dropout draws from torch's global streams, so a resumed run needs their states. Each row
        # is the state of one process.
        checkpoint["rng_state"] = gather_rows(torch.get_rng_state())
        if self.device.type == "cuda":
            checkpoint["cuda_rng_state"] = gather_rows(torch.cuda.get_rng_state(self.device))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.sample_weight = checkpoint["sample_weight"]
        self.history = History(checkpoint["history"])
        # A copy, because torch crashes on a view that does not start at the start of its memory.
        torch.set_rng_state(checkpoint["rng_state"].cpu()[rank()].clone())
        if "cuda_rng_state" in checkpoint and self.trainer.strategy.root_device.type == "cuda":
            state = checkpoint["cuda_rng_state"].cpu()[rank()].clone()
            torch.cuda.set_rng_state(state, self.trainer.strategy.root_device)


def classifier_of(trainer: pl.Trainer) -> NoisyLabelClassifier:
    """The classifier that a trainer trains."""
    module = trainer.lightning_module
    assert isinstance(module, NoisyLabelClassifier), "the trainer trains a NoisyLabelClassifier"
    return module
