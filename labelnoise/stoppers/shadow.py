"""The step at which a stopping rule would have stopped a run."""

from __future__ import annotations

from typing import NamedTuple

from labelnoise.learner.history import History
from labelnoise.stoppers.table import Stopper


class Stop(NamedTuple):
    """The step at which a rule stops, and the step of the network that it keeps."""

    stopped_step: int
    selected_step: int


def shadow_stop(stopper: Stopper, history: History) -> Stop | None:
    """The stop of ``stopper`` in the run with ``history``; None if the rule never triggers.

    Example:
        >>> from labelnoise.stoppers import STOPPERS
        >>> history = History({step: {"val/loss": abs(step - 3.0)} for step in range(20)})
        >>> shadow_stop(STOPPERS["val_loss"], history)
        Stop(stopped_step=13, selected_step=3)
    """
    detector = stopper.detector()
    for step, row in sorted(history.rows.items()):
        values = stopper.values(row)
        if values is not None and detector.update(step, *values):
            assert detector.candidate_step is not None
            return Stop(step, detector.candidate_step)
    return None


def is_measured(stopper: Stopper, history: History) -> bool:
    """Whether ``history`` has the metrics that ``stopper`` reads."""
    return any(stopper.values(row) is not None for row in history.rows.values())
