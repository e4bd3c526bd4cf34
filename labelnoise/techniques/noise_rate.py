"""Where a technique takes the noise rate from: the run's own noise, an estimate, or a number."""

from __future__ import annotations

import logging

from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.errors import InputError

log = logging.getLogger(__name__)

# The word for a rate that is read off the network's predictions.
ESTIMATE = "estimate"

# The kinds of label noise that a run draws itself. human_twin is one of them: people's rates, drawn
# at random. human, file and a folder's CSV are labels that were there before.
MADE = {
    "none",
    "symmetric",
    "pairflip",
    "asymmetric",
    "class_conditional",
    "instance",
    "human_twin",
}


def check_noise_rate(option: str, value: float | str | None) -> None:
    """Refuse what is neither null, nor the word estimate, nor a number in [0, 1).

    Raises:
        InputError: names the option and what came.

    Example:
        >>> check_noise_rate("forget_rate", None), check_noise_rate("forget_rate", 0.2)
        (None, None)
        >>> check_noise_rate("forget_rate", 1.0)
        Traceback (most recent call last):
        labelnoise.errors.InputError: forget_rate must be a number from 0 to below 1, estimate or \
null, got 1.0
    """
    if value is None or value == ESTIMATE:
        return
    if isinstance(value, str) or not 0 <= value < 1:
        raise InputError(
            f"{option} must be a number from 0 to below 1, {ESTIMATE} or null, got {value}"
        )


def made_noise_rate(data: NoisyLabelDataModule) -> float | None:
    """The realised noise rate of the labels that a run may see; None unless it made them wrong.

    It is the share of wrong labels among all that the noise record holds, whatever rate was asked
    for: under noise=asymmetric noise_rate=0.4 about a fifth of all labels is wrong.
    """
    record = data.noise_record
    made = record.kind in MADE and record.truth == "made"
    return record.rate_realised if made else None


def noise_rate_of(
    option: str, value: float | str | None, data: NoisyLabelDataModule
) -> float | None:
    """The noise rate that an option stands for: a number as it is, null the run's own.

    Returns:
        None for the word estimate.

    Raises:
        InputError: null, and the run did not make its labels wrong itself.
    """
    if value == ESTIMATE:
        return None
    if value is not None:
        return float(value)
    rate = made_noise_rate(data)
    if rate is None:
        raise InputError(
            f"{option} is null, the noise rate of label noise that the run makes itself, and these "
            f"labels were given: write a number, as in {option}=0.2, or {option}={ESTIMATE} for an "
            "estimate from the network's predictions"
        )
    log.info("%s is the noise rate of this run's labels, %.4f", option, rate)
    if not rate:
        log.info("%s is 0, since no label is wrong: every sample is kept", option)
    return rate


def rate_source(value: float | str | None) -> str:
    """Where the rate is from, for reports.

    Example:
        >>> rate_source(None), rate_source("estimate"), rate_source(0.2)
        ("the run's noise", 'estimate', 'number')
    """
    if value is None:
        return "the run's noise"
    return ESTIMATE if value == ESTIMATE else "number"


def told_noise_rate(value: float | str | None) -> list[str]:
    """What an option tells that nobody with noisy data knows; a rate of 0 leaves nothing out.

    Example:
        >>> told_noise_rate(None), told_noise_rate(0.2), told_noise_rate("estimate")
        (['noise rate'], ['noise rate'], [])
    """
    return [] if value in (ESTIMATE, 0) else ["noise rate"]
