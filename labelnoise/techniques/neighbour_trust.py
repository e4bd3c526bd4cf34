"""Trust a label where the neighbours in the mini-batch have the same one."""

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
from labelnoise.distributed import gather_samples
from labelnoise.errors import InputError
from labelnoise.learner.classifier import NoisyLabelClassifier, classifier_of
from labelnoise.models.two_layer_cnn import TwoLayerCNN
from labelnoise.selection import selection_metrics
from labelnoise.techniques.technique import Technique

log = logging.getLogger(__name__)


def diluted_labels(
    embedding: Float[Tensor, "b e"], label: Int[Tensor, " b"], num_classes: int, temperature: float
) -> Float[Tensor, "b K"]:
    """What the other samples of a batch say of each one's label, by similarity.

        d_i = sum_{j != i} a_ij e(label_j),   a_ij = softmax_{j != i}(cos(z_i, z_j) / temperature)

    with e(k) the unit vector of class k: a wrong label is diluted among its neighbours' right ones.
    A sample alone in its batch has its own label.

    Raises:
        InputError: a temperature that is not positive.

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
    """Whether the neighbours' votes are for the given label; samples not seen yet are trusted."""
    return (votes.argmax(1) == label) | ~seen


class NeighbourTrust(Technique):
    """Gives weight 0 to the samples whose neighbours' labels speak for another class.

    Every training step gives each sample of the batch a diluted label, see :func:`diluted_labels`,
    in the embedding that enters the network's last linear layer, as it is in that step (in the
    two-layer CNN its hidden units). They are averaged over the epochs,

        v_i <- momentum v_i + (1 - momentum) d_i,   v_i = d_i the first time,

    and after a warm-up, at each epoch's end, sample i is trusted where argmax_k v_ik is its given
    label. It gets weight 1, others 0; these go on to be asked and to vote, and can come back. A
    sample that no batch had yet is trusted, and a selection that would keep nothing is not made.

    The idea, that neighbours in a mini-batch dilute wrong labels, is that of LEND; the formula, the
    momentum and all constants here are our choice.

    Args:
        temperature: of the similarities; small ones leave the vote to the nearest.
        momentum: of the average over epochs, in [0, 1).
        start_step: select from this step on; None: after ``warmup_epochs``.
        warmup_epochs: length of the warm-up in epochs.
        every_n_steps: interval of the selections; None is once an epoch.

    Raises:
        InputError: a number out of range; when training starts, a network without a linear layer.
    """

    role = "selection"
    refuses: ClassVar[dict[str, str]] = {
        "batch": "would mix the samples whose neighbours are asked",
        "networks": "leaves open in which of its networks neighbours are looked for",
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
        self._ask(trainer, batch)
        if self.is_new_step(trainer) and self._is_due(trainer):
            self._select(trainer, module)

    def _ask(self, trainer: pl.Trainer, batch: Batch) -> None:
        assert self._embedding is not None
        # The batch of all processes together, in one order: each of them has the same votes.
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
            log.warning("neighbour_trust: no label is trusted, not selected")
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
    """The last linear layer of a network, which makes logits of an embedding.

    Raises:
        InputError: there is none.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise InputError(
            "technique=neighbour_trust needs a network with a linear layer at its end, or "
            f"model=two_layer_cnn; {type(model).__name__} has none"
        )
    return layers[-1]
