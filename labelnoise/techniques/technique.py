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

    A subclass keeps in ``state_dict`` everything that a resumed run needs to continue bit for bit.

    Attributes:
        role: a key of :data:`ROLES`.
        refuses: maps each role that it cannot be combined with to the reason. The reason is a
            predicate of the technique of that role ("mixes samples that have their own targets").
        learner: the class of the module to train; None for NoisyLabelClassifier.
    """

    role: ClassVar[str | None] = None
    refuses: ClassVar[dict[str, str]] = {}
    learner: ClassVar[type[NoisyLabelClassifier] | None] = None

    # The step at which the technique ended training; None if it did not.
    stopped_step: int | None = None
    last_step = 0
    state: ClassVar[tuple[str, ...]] = ("last_step",)

    def is_new_step(self, trainer: pl.Trainer) -> bool:
        """True once for each optimizer step; accumulated gradients make a step of many batches."""
        seen, self.last_step = self.last_step, trainer.global_step
        return trainer.global_step > seen

    def report(self) -> dict[str, Any]:
        """What the technique did in this run, as plain values for summary.json."""
        raise NotImplementedError

    def reads(self) -> tuple[str, ...]:
        """The metrics that it reads from the history. The run switches on their monitors."""
        return ()

    def oracle_knowledge(self) -> list[str]:
        """The facts it was given that a user with noisy data does not know.

        They are "noise rate", "true labels" or "transition matrix". If the true labels are unknown,
        "true labels" and "transition matrix" are refused.
        """
        return []
