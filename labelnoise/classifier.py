"""The LightningModule: per-sample loss times per-sample weight, for any network and any data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from labelnoise.data.batch import Batch, Split
from labelnoise.data.module import data_of
from labelnoise.history import History

SampleLoss = Callable[[Tensor, Batch], Tensor]


def cross_entropy(logits: Float[Tensor, "n K"], batch: Batch) -> Float[Tensor, " n"]:
    """Per-sample cross-entropy with the given labels, -log softmax(logits)[label]."""
    return F.cross_entropy(logits, batch.label, reduction="none")


def weighted_mean(value: Float[Tensor, " n"], weight: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """sum_i weight_i value_i / sum_i weight_i, and 0 where all weights are 0.

    Dividing by the weights' sum keeps the step size per trained sample when samples are left out.
    """
    share = weight / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
    return torch.dot(share, value)  # one node in the graph: these steps take a millisecond


def label_metrics(
    logits: Float[Tensor, "n K"], label: Int[Tensor, " n"], clean_label: Int[Tensor, " n"]
) -> dict[str, float]:
    """How predictions agree with the given and with the true labels.

    Returns, each in [0, 1] but the loss, NaN where the samples concerned do not exist:
        loss: mean cross-entropy with the given labels.
        acc, acc_clean, acc_noisy: share predicted as the *given* label, of all samples, of those
            whose given label is the true one, and of those whose given label is wrong.
        memorized_fraction: share of the noisy samples predicted as the given (wrong) label; the
            same number as ``acc_noisy`` under the name the literature uses for it.
        corrected_fraction: share of the noisy samples predicted as the true label. With two
            classes the two fractions add up to 1; with more, a prediction can be neither.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
        >>> metrics = label_metrics(logits, torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]))
        >>> metrics["acc_clean"], metrics["acc_noisy"], metrics["corrected_fraction"]
        (1.0, 0.0, 1.0)
    """
    prediction = logits.argmax(1)
    fits = prediction == label
    noisy = label != clean_label
    corrected = (prediction == clean_label) & noisy
    counts = torch.stack([fits.sum(), (fits & noisy).sum(), noisy.sum(), corrected.sum()])
    fitted, fitted_noisy, n_noisy, n_corrected = counts.tolist()
    n = len(label)
    memorized = _share(fitted_noisy, n_noisy)
    return {
        "loss": F.cross_entropy(logits, label).item(),
        "acc": _share(fitted, n),
        "acc_clean": _share(fitted - fitted_noisy, n - n_noisy),
        "acc_noisy": memorized,
        "memorized_fraction": memorized,
        "corrected_fraction": _share(n_corrected, n_noisy),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block: no dropout, batch norm by its running statistics."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class NoisyLabelClassifier(pl.LightningModule):
    """Trains a network on given labels: mean over the batch of sample_weight times sample_loss.

        loss = sum_i w_i l(f(x_i), label_i) / sum_i w_i

    Techniques act through two attributes, ``sample_loss`` (a function of logits and batch) and
    ``sample_weight`` (one weight per training sample); monitors only call ``logits``, ``evaluate``
    and ``record``. True labels never enter the loss.

    Args:
        model: inputs (n, ...) to logits (n, K).
        optimizer: called with the parameters, ``functools.partial(torch.optim.SGD, lr=0.05)`` say.
        scheduler: called with the optimizer, ``functools.partial(StepLR, step_size=20)`` say.
            None keeps the learning rate constant.
        interval: what the scheduler counts, Lightning's ``"epoch"`` or ``"step"``.
        eval_batch_size: samples at a time in :meth:`logits`.

    Attributes:
        sample_loss: per-sample loss, cross-entropy unless a technique replaces it.
        sample_weight: (n_train,) weights, all 1 unless a technique changes them; in checkpoints.
        history: what was recorded so far; in checkpoints, so that a resumed run has it whole.
    """

    sample_weight: Tensor

    def __init__(
        self,
        model: nn.Module,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        interval: str = "epoch",
        eval_batch_size: int = 1000,
    ) -> None:
        super().__init__()
        self.model = model
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.interval = interval
        self.eval_batch_size = eval_batch_size
        self.sample_loss: SampleLoss = cross_entropy
        self.register_buffer("sample_weight", torch.ones(0), persistent=False)
        self.history = History()

    def setup(self, stage: str) -> None:
        train = data_of(self.trainer).train
        if stage == "fit" and len(self.sample_weight) != len(train):
            dtype = next(self.model.parameters()).dtype
            self.sample_weight = torch.ones(len(train), dtype=dtype, device=self.device)

    def forward(self, input: Tensor) -> Tensor:
        return self.model(input)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        logits = self.model(batch.input)
        loss = weighted_mean(self.sample_loss(logits, batch), self.sample_weight[batch.index])
        return {"loss": loss, "logits": logits.detach()}  # callbacks get the logits too

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Against the noisy validation labels: all that techniques may look at."""
        metrics = label_metrics(self.model(batch.input), batch.label, batch.clean_label)
        self._log_split("val", {"loss": metrics["loss"], "acc": metrics["acc"]}, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Against clean and against noisy test labels."""
        self._log_split("test", held_out_metrics(self.model(batch.input), batch), batch)

    def _log_split(self, split: str, metrics: dict[str, float], batch: Batch) -> None:
        named = {f"{split}/{name}": value for name, value in metrics.items()}
        # `record` writes to the loggers, in one row with the monitors' metrics of the same step.
        self.log_dict(named, batch_size=len(batch.label), prog_bar=split == "val", logger=False)

    def on_validation_end(self) -> None:
        if not self.trainer.sanity_checking:
            metrics = self.trainer.callback_metrics
            self.record({k: v.item() for k, v in metrics.items() if k.startswith("val/")})

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(self.model.parameters())
        if self.scheduler is None:
            return optimizer
        schedule = {"scheduler": self.scheduler(optimizer), "interval": self.interval}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    @torch.no_grad()
    def logits(self, split: Split) -> Float[Tensor, "n K"]:
        """Logits of a whole split in evaluation mode; touches neither mode nor random streams."""
        with evaluating(self.model):
            return torch.cat(
                [
                    self.model(batch.input.to(self.device))
                    for batch in split.batches(self.eval_batch_size)
                ]
            ).to(split.label.device)

    def evaluate(self, split: Split) -> dict[str, float]:
        """:func:`label_metrics` of a whole split, at the weights as they are now."""
        return label_metrics(self.logits(split), split.label, split.clean_label)

    def record(self, metrics: dict[str, float]) -> None:
        """Add metrics to the history and to the loggers, at the trainer's current step.

        With a schedule also ``train/lr``, the learning rate of the step to come.
        """
        step = self.trainer.global_step
        if self.scheduler is not None:
            rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            metrics = {**metrics, "train/lr": float(rate)}
        self.history.record(step, metrics)
        for logger in self.loggers:
            logger.log_metrics(metrics, step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["sample_weight"] = self.sample_weight
        checkpoint["history"] = self.history.rows
        # Dropout and the like draw from torch's global stream; without it a resume would differ.
        checkpoint["rng_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.sample_weight = checkpoint["sample_weight"]
        self.history = History(checkpoint["history"])
        torch.set_rng_state(checkpoint["rng_state"].cpu())


def held_out_metrics(logits: Float[Tensor, "n K"], batch: Batch | Split) -> dict[str, float]:
    """Accuracy against clean test labels (``acc``) and noisy ones (``acc_noisy_labels``)."""
    prediction = logits.argmax(1)
    return {
        "acc": (prediction == batch.clean_label).double().mean().item(),
        "acc_noisy_labels": (prediction == batch.label).double().mean().item(),
    }
