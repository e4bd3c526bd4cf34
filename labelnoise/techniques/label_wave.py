"""Stop when predictions begin to change more again; needs no validation data."""

from __future__ import annotations

from typing import ClassVar

from labelnoise.config.ranges import check_options_of
from labelnoise.techniques.early_stopping import EarlyStopping


class LabelWave(EarlyStopping):
    """Stops at the first local minimum of the number of training predictions that change.

        PC_t = number of training samples whose predicted class changed from epoch t-1 to t
        m_t  = (PC_{t-w+1} + ... + PC_t) / w

    It keeps the network at the end of the first epoch t with m_{t-1} > m_t and
    m_t < m_{t+1}, ..., m_{t+p}; w is ``window`` and p is ``patience``. For equal values see
    :class:`labelnoise.stoppers.LocalMinimumDetector`. PC is ``dynamics/prediction_changes``. It is
    measured in the training pass, unless monitor.dynamics.extra_pass=true. The rule needs no
    validation samples and no true labels.
    Source: Label Wave, arXiv 2502.07551 (ICLR 2024). Our choices: window, patience, and a window
    that ends at epoch t.

    Args:
        window: number of epochs in an average, at least 1.
        patience: number of averages in a row above the minimum that confirm it, at least 1.

    Raises:
        InputError: a number below 1; at the start of training, no monitor=dynamics.
    """

    name: ClassVar[str] = "label_wave"

    def __init__(self, window: int = 2, patience: int = 1) -> None:
        super().__init__("label_wave")
        check_options_of(LabelWave, "technique.label_wave.", window=window, patience=patience)
        self.options = {"window": window, "patience": patience}
