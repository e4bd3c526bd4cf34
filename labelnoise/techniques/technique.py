"""What all techniques have in common: a name in the configuration and a line in summary.json."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl


class Technique(pl.Callback):
    """A callback that acts on training through ``sample_loss``, ``sample_weight`` or the trainer.

    A subclass keeps in ``state_dict`` whatever a resumed run needs to go on bit for bit, and tells
    in ``report`` what it did, as plain values.
    """

    def report(self) -> dict[str, Any]:
        """What the technique did in this run; goes into summary.json under its name."""
        raise NotImplementedError
