"""Trust a label if the neighbours of the sample in the mini-batch have the same label."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from labelnoise.config.ranges import check_options_of
from labelnoise.data.batch import Batch
from labelnoise.data.module import data_of, steps_per_epoch
from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier, classifier_of
from labelnoise.models.two_layer_cnn import TwoLayerCNN
from labelnoise.processes.distributed import gather_samples
from labelnoise.selection import selection_metrics
from labelnoise.techniques.technique import Technique

log = logging.getLogger(__name__)


def diluted_labels(
    embedding: Float[Tensor, "b e"], label: Int[Tensor, " b"], num_classes: int, temperature: float
) -> Float[Tensor, "b K"]:
    """Similarity-weighted mean of the labels of the other samples in a batch, for each sample.

        d_i = sum_{j != i} a_ij e(label_j),   a_ij = softmax_{j != i}(cos(z_i, z_j) / temperature)

    e(k) is the unit vector of class k and z_i is the embedding of sample i. If the batch has only
    one sample, d_i = e(label_i).

    Raises:
        InputError: the temperature is not positive.

    Example:
        >>> embedding = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> diluted_labels(embedding, torch.tensor([1, 0, 1]), 2, 0.01).round().tolist()
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """
    check_options_of(NeighbourTrust, temperature=temperature)
    given = F.one_hot(label, num_classes).to(embedding.dtype)
    if len(label) < 2:
        return given
    unit = F.normalize(embedding, dim=1)
    similarity = (unit @ unit.T) / temperature
    return similarity.fill_diagonal_(-torch.inf).softmax(1) @ given


def trusted_labels(
    votes: Float[Tensor, "n K"], label: Int[Tensor, " n"], seen: Bool[Tensor, " n"]
) -> Bool[Tensor, " n"]:
    """Whether the largest vote is for the given label; samples not seen yet are trusted."""
    return (votes.argmax(1) == label) | ~seen


class NeighbourTrust(Technique):
    """Sets the weight of a sample to 0 if the labels of its neighbours indicate another class.

    Every training step computes d_i of each sample in the batch (:func:`diluted_labels`). The
    embedding is the input of the last linear layer in this step; for the two-layer CNN it is the
    hidden units. The votes v_i average d_i over the epochs:

        v_i <- momentum v_i + (1 - momentum) d_i,   v_i = d_i the first time.

    After a warm-up, each selection trusts sample i if argmax_k v_ik is its given label. Trusted
    samples get weight 1, the others weight 0. Samples with weight 0 still vote and are still voted
    on, so they can be trusted again later. Samples that were in no batch yet are trusted. A
    selection that would keep no sample is skipped.

    The idea that neighbours in a mini-batch dilute wrong labels is from LEND. The formula, the
    momentum and all constants are our choice.

    Args:
        temperature: temperature of the softmax; a small one gives the nearest neighbour all weight.
        momentum: momentum of the average over epochs, in [0, 1).
        start_step: step of the first selection; None: after ``warmup_epochs``.
        warmup_epochs: length of the warm-up in epochs.
        every_n_steps: interval between selections; None: one epoch.

    Raises:
        InputError: a number out of range; at the start of training, a network without a linear
            layer.
    """

    role = "selection"
    refuses: ClassVar[dict[str, str]] = {
        "batch": "mixes samples, but neighbours are compared unmixed",
        "networks": "trains two networks, but the neighbours need one embedding",
    }
    state = ("votes", "seen", "selections")

    def __init__(
        self,
        temperature: float = 0.1,
        momentum: float = 0.7,
        start_step: int | None = None,
        warmup_epochs: int = 3,
        every_n_steps: int | None = None,
    ) -> None:
        check_options_of(
            NeighbourTrust, "technique.neighbour_trust.",
            temperature=temperature, momentum=momentum, start_step=start_step,
            warmup_epochs=warmup_epochs, every_n_steps=every_n_steps,
        )  # fmt: skip
        self.temperature = temperature
        self.momentum = momentum
        self.start_step = start_step
        self.warmup_epochs = warmup_epochs
        self.every_n_steps = every_n_steps
        self.votes: Tensor | None = None
        self.seen: Tensor | None = None
        self.selections: list[dict[str, Any]] = []
        self._embedding: Tensor | None = None
        self._handle: RemovableHandle | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            module = classifier_of(trainer)
            model = module.model
            layer = model if isinstance(model, TwoLayerCNN) else last_linear(model)
            self._handle = layer.register_forward_pre_hook(self._keep)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    @torch.no_grad()
    def _keep(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if layer.training:
            hidden = layer.hidden(inputs[0]) if isinstance(layer, TwoLayerCNN) else inputs[0]
            self._embedding = hidden.detach().flatten(1).float()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        module = classifier_of(trainer)
        self._update_votes(trainer, batch)
        if self.is_new_step(trainer) and self._is_due(trainer):
            self._select(trainer, module)

    def _update_votes(self, trainer: pl.Trainer, batch: Batch) -> None:
        assert self._embedding is not None
        # The batches of all processes, in the same order, so that all processes have equal votes.
        index, embedding = gather_samples(batch.index, self._embedding[: len(batch.index)])
        data = data_of(trainer)
        label = data.train.label[index.to(data.train.label.device)].to(embedding.device)
        diluted = diluted_labels(embedding, label, data.num_classes, self.temperature)
        if self.votes is None or self.seen is None:
            self.votes = diluted.new_zeros((len(data.train), data.num_classes))
            self.seen = torch.zeros(len(data.train), dtype=torch.bool, device=diluted.device)
        self.votes, self.seen = self.votes.to(diluted.device), self.seen.to(diluted.device)
        kept = self.momentum * self.seen[index].to(diluted)[:, None]
        self.votes[index] = kept * self.votes[index] + (1 - kept) * diluted
        self.seen[index] = True

    def _is_due(self, trainer: pl.Trainer) -> bool:
        epoch = steps_per_epoch(trainer)
        start = self.warmup_epochs * epoch if self.start_step is None else self.start_step
        since = trainer.global_step - start
        return since >= 0 and since % (self.every_n_steps or epoch) == 0

    def _select(self, trainer: pl.Trainer, module: NoisyLabelClassifier) -> None:
        assert self.votes is not None and self.seen is not None
        train = data_of(trainer).train
        votes, label = self.votes.cpu(), train.label.cpu()
        trusted = trusted_labels(votes, label, self.seen.cpu())
        if not trusted.any():
            log.warning("neighbour_trust: no label is trusted, so this selection is skipped")
            return
        module.sample_weight = trusted.to(module.sample_weight)
        doubt = 1 - votes.gather(1, label[:, None]).squeeze(1)
        is_noisy = train.is_noisy.cpu() if train.truth_known else None
        metrics = selection_metrics(trusted, doubt, is_noisy)
        selection = {"step": trainer.global_step, "kept": int(trusted.sum()), **metrics}
        self.selections.append(selection)
        if judged := {f"selection/{k}": v for k, v in metrics.items() if v is not None}:
            module.record(judged)

    def report(self) -> dict[str, Any]:
        first, last = (self.selections[0], self.selections[-1]) if self.selections else (None, None)
        return {"first": first, "last": last}


def last_linear(model: nn.Module) -> nn.Linear:
    """The last linear layer of a network, which maps the embedding to logits.

    Raises:
        InputError: the network has no linear layer.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise InputError(
            "technique=neighbour_trust needs a network with a linear layer at its end, or "
            f"model=two_layer_cnn; {type(model).__name__} has none"
        )
    return layers[-1]
