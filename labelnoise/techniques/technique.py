"""What all techniques have in common: a name in the configuration and a line in summary.json."""

from __future__ import annotations

from typing import Any, ClassVar

import pytorch_lightning as pl

from labelnoise.learner.classifier import NoisyLabelClassifier
from labelnoise.state import Stateful

# What a technique takes hold of; of those that a run combines, one at most has each.
ROLES = {
    "batch": "mixes the samples of a batch",
    "loss": "sets the loss of every sample",
    "networks": "trains two networks",
    "selection": "chooses the samples that count",
    "stop": "decides when training ends",
    "weights": "sets the network's weights back",
}


class Technique(Stateful, pl.Callback):
    """A callback that acts on training through ``sample_loss``, ``sample_weight`` or the trainer.

    A subclass keeps in ``state_dict`` whatever a resumed run needs to go on bit for bit, and tells
    in ``report`` what it did, as plain values.

    Attributes:
        role: a key of :data:`ROLES`.
        refuses: roles that it cannot be combined with, each with the reason as half a sentence
            about the technique of that role ("would mix samples that have targets of their own").
        learner: what it trains in place of the one network of a NoisyLabelClassifier; None where
            that is what it trains.
    """

    role: ClassVar[str | None] = None
    refuses: ClassVar[dict[str, str]] = {}
    learner: ClassVar[type[NoisyLabelClassifier] | None] = None

    # The step at which it ended training, None where it did not.
    stopped_step: int | None = None
    last_step = 0
    state: ClassVar[tuple[str, ...]] = ("last_step",)

    def is_new_step(self, trainer: pl.Trainer) -> bool:
        """True once for every optimizer step; with accumulated gradients a step is many batches."""
        seen, self.last_step = self.last_step, trainer.global_step
        return trainer.global_step > seen

    def report(self) -> dict[str, Any]:
        """What the technique did in this run; goes into summary.json under its name."""
        raise NotImplementedError

    def reads(self) -> tuple[str, ...]:
        """The metrics that it reads from the history. Their monitors are switched on with it."""
        return ()

    def oracle_knowledge(self) -> list[str]:
        """What it was told that nobody with noisy data knows: "noise rate", "true labels", ...

        Where the true labels are not known, "true labels" and "transition matrix" are refused.
        """
        return []
