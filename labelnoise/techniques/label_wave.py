"""Stop at the first wave of changing predictions, without validation data."""

from __future__ import annotations

from typing import ClassVar

from labelnoise.config.ranges import check_options_of
from labelnoise.techniques.early_stopping import EarlyStopping


class LabelWave(EarlyStopping):
    """Stops where the predictions on training samples, after settling, begin to change more again.

        PC_t = number of training samples whose predicted class changed from epoch t-1 to t
        m_t  = (PC_{t-w+1} + ... + PC_t) / w

    The network kept is that of the end of the first epoch t with m_{t-1} > m_t and
    m_t < m_{t+1}, ..., m_{t+p}, where w is ``window`` and p ``patience`` (what counts where values
    are equal is told at :class:`labelnoise.stoppers.LocalMinimumDetector`). PC is
    ``dynamics/prediction_changes``, of the training pass itself unless
    monitor.dynamics.extra_pass=true. Needs no validation samples and no true label.
    Source: Label Wave, arXiv 2502.07551 (ICLR 2024); window, patience and that the window trails
    are our choice.

    Args:
        window: epochs averaged, at least 1.
        patience: averages in a row above the minimum that confirm it, at least 1.

    Raises:
        InputError: a number below 1; at the start of training, without monitor=dynamics.
    """

    name: ClassVar[str] = "label_wave"

    def __init__(self, window: int = 2, patience: int = 1) -> None:
        super().__init__("label_wave")
        check_options_of(LabelWave, "technique.label_wave.", window=window, patience=patience)
        self.options = {"window": window, "patience": patience}
