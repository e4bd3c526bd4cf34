"""The base class of techniques."""

from __future__ import annotations

from typing import Any, ClassVar

import pytorch_lightning as pl

from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.state import Stateful

# The part of the training that a technique controls. A run has at most one technique of each role.
ROLES = {
    "batch": "mixes the samples of a batch",
    "loss": "sets the loss of every sample",
    "networks": "trains two networks",
    "selection": "chooses the samples to train on",
    "stop": "decides when training ends",
    "weights": "resets the weights of the network",
}


class Technique(Stateful, pl.Callback):
    """A callback that acts on training through ``sample_loss``, ``sample_weight`` or the trainer.

    The ``state_dict`` of a subclass has everything that a resumed run needs to give the same
    results bit for bit.

    Attributes:
        role: a key of :data:`ROLES`.
        refuses: the roles that the technique cannot be combined with, each with the reason. A
            reason is the predicate of a sentence about the technique of that role ("mixes samples
            that have their own targets").
        learner: the class of the LightningModule to train; None for NoisyLabelClassifier.
    """

    role: ClassVar[str | None] = None
    refuses: ClassVar[dict[str, str]] = {}
    learner: ClassVar[type[NoisyLabelClassifier] | None] = None

    # The step at which the technique ended training; None if it did not.
    stopped_step: int | None = None
    last_step = 0
    state: ClassVar[tuple[str, ...]] = ("last_step",)

    def is_new_step(self, trainer: pl.Trainer) -> bool:
        """True once for each optimizer step; with accumulated gradients a step has many batches."""
        seen, self.last_step = self.last_step, trainer.global_step
        return trainer.global_step > seen

    def report(self) -> dict[str, Any]:
        """What the technique did in this run, as plain values for summary.json."""
        raise NotImplementedError

    def trains_on_cross_entropy(self, num_classes: int) -> bool:
        """Whether the training loss is the cross-entropy of the logits with the given labels.

        The recorded validation loss is always this cross-entropy. Under another loss it can rise
        while the accuracy rises too, because the loss does not make the predicted probabilities
        those of the given labels. The accuracy then chooses the network.
        """
        return True

    def reads(self) -> tuple[str, ...]:
        """The metrics that the technique reads from the history.

        The run switches on the monitors that record them.
        """
        return ()

    def oracle_knowledge(self) -> list[str]:
        """The facts that the technique was told and that a user with noisy data does not know.

        They are "noise rate", "true labels" or "transition matrix". If the true labels are unknown,
        a technique with "true labels" or "transition matrix" is refused.
        """
        return []
