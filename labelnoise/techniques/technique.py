"""What all techniques have in common: a name in the configuration and a line in summary.json."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl


class Technique(pl.Callback):
    """A callback that acts on training through ``sample_loss``, ``sample_weight`` or the trainer.

    A subclass keeps in ``state_dict`` whatever a resumed run needs to go on bit for bit, and tells
    in ``report`` what it did, as plain values.
    """

    last_step = 0

    def is_new_step(self, trainer: pl.Trainer) -> bool:
        """True once for every optimizer step; with accumulated gradients a step is many batches."""
        seen, self.last_step = self.last_step, trainer.global_step
        return trainer.global_step > seen

    def state_dict(self) -> dict[str, Any]:
        return {"last_step": self.last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.last_step = state_dict.get("last_step", 0)

    def report(self) -> dict[str, Any]:
        """What the technique did in this run; goes into summary.json under its name."""
        raise NotImplementedError
