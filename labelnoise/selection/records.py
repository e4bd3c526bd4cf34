"""Records of every training sample over the epochs, for the selection rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelnoise.dynamics.measurements import Measurements
from labelnoise.dynamics.recorder import EpochRecorder
from labelnoise.dynamics.scores import RunningScores


class Records:
    """Measurements of all training samples over the epochs so far.

    :meth:`add` records each training batch
    (:class:`labelnoise.dynamics.recorder.EpochRecorder`). Every process adds its own part of the
    batch. :meth:`end_epoch` completes the row of the epoch.

    Args:
        label: (n,) given labels, on the device of the batches.
        other_label: (n,) a class other than the given one, for the rule "aum".
        keep_losses: keep the losses of all epochs, n numbers for each epoch.

    Example:
        >>> records = Records(torch.tensor([0, 1]), keep_losses=True)
        >>> for logits in ([[3.0, 1.0], [2.0, 0.0]], [[1.0, 0.0], [0.0, 2.0]]):
        ...     records.add(torch.arange(2), torch.tensor(logits))
        ...     records.end_epoch()
        >>> records.epochs, records.aum.tolist(), records.wrong_events.tolist()
        (2, [1.5, 0.0], [0.0, 1.0])
        >>> records.losses.shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        label: Int[Tensor, " n"],
        other_label: Int[Tensor, " n"] | None = None,
        keep_losses: bool = False,
    ) -> None:
        self._labels = {"given": label} | ({} if other_label is None else {"other": other_label})
        self._scores = {k: RunningScores(v.cpu().numpy()) for k, v in self._labels.items()}
        self._recorders = {name: EpochRecorder() for name in self._labels}
        for recorder in self._recorders.values():
            recorder.begin(len(label), label.device)
        self._losses: list[Tensor] | None = [] if keep_losses else None

    def add(self, index: Int[Tensor, " b"], logits: Float[Tensor, "b K"]) -> None:
        """Measure the samples at ``index`` by the logits of their training step."""
        for name, label in self._labels.items():
            self._recorders[name].add(index, logits, label[index])

    def end_epoch(self) -> None:
        """Complete the row of an epoch, after all samples were added."""
        for name, recorder in self._recorders.items():
            row = recorder.finish()
            assert row is not None, f"{recorder.unseen} samples were not in this epoch"
            arrays = Measurements(*(np.asarray(torch.as_tensor(v).cpu()) for v in row))
            self._scores[name].update(arrays)
            if name == "given" and self._losses is not None:
                self._losses.append(torch.as_tensor(arrays.loss))

    @property
    def epochs(self) -> int:
        """Number of complete epochs."""
        return self._scores["given"].epochs

    @property
    def losses(self) -> Float[Tensor, "epochs n"]:
        """The losses of every epoch."""
        assert self._losses, "keep_losses=True, and an epoch, come first"
        return torch.stack(self._losses)

    @property
    def aum(self) -> Float[Tensor, " n"]:
        """Mean margin of the given labels."""
        return -torch.from_numpy(self._scores["given"].scores()["aum"])

    @property
    def other_aum(self) -> Float[Tensor, " n"]:
        """Mean margin of the other labels."""
        return -torch.from_numpy(self._scores["other"].scores()["aum"])

    @property
    def wrong_events(self) -> Float[Tensor, " n"]:
        """Number of epochs in which another class than the given label was predicted."""
        return torch.from_numpy(self._scores["given"].scores()["wrong_events"].copy())

    def state_dict(self) -> dict[str, Any]:
        return {
            "scores": {name: scores.state_dict() for name, scores in self._scores.items()},
            "rows": {name: recorder.row for name, recorder in self._recorders.items()},
            "losses": self._losses,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, label in self._labels.items():
            self._scores[name].load_state_dict(state["scores"][name])
            self._recorders[name].row = state["rows"][name]
            self._recorders[name].begin(len(label), label.device)
        if self._losses is not None:
            self._losses = [loss.cpu() for loss in state["losses"]]
