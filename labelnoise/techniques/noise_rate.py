"""The noise rate that a technique uses: of the run's own noise, an estimate, or a number."""

from __future__ import annotations

import logging

from labelnoise.data.module import NoisyLabelDataModule
from labelnoise.errors import InputError

log = logging.getLogger(__name__)

# The option value for an estimate from the predictions of the network.
ESTIMATE = "estimate"

# The kinds of label noise that a run draws itself. human_twin draws at random with the rates of
# human labels. The labels of human, file and the CSV of a folder exist before the run.
MADE = {
    "none",
    "symmetric",
    "pairflip",
    "asymmetric",
    "class_conditional",
    "instance",
    "matrix",
    "human_twin",
}


def check_noise_rate(option: str, value: float | str | None) -> None:
    """Accept null, the word estimate, or a number in [0, 1).

    Raises:
        InputError: another value; names the option and the value.

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


def noise_rate_of(
    option: str, value: float | str | None, data: NoisyLabelDataModule
) -> float | None:
    """The noise rate of an option: a number itself, null the realised rate of the run's own noise.

    The realised rate can differ from the requested one: with noise=asymmetric noise_rate=0.4 about
    a fifth of all labels is wrong.

    Returns:
        None for the word estimate.

    Raises:
        InputError: null, but the run did not draw the noise itself.
    """
    if value == ESTIMATE:
        return None
    if value is not None:
        return float(value)
    record = data.noise_record
    rate = record.rate_realised
    if rate is None or record.kind not in MADE or record.truth != "made":
        raise InputError(
            f"{option} is null, which means the rate of the noise that the run draws itself, but "
            f"the labels of this run were given: write a number, as in {option}=0.2, or "
            f"{option}={ESTIMATE} for an estimate from the network's predictions"
        )
    log.info("%s is the noise rate of this run's labels, %.4f", option, rate)
    if not rate:
        log.info("%s is 0 because no label is wrong: every sample is kept", option)
    return rate


def rate_source(value: float | str | None) -> str:
    """The source of the rate, for reports.

    Example:
        >>> rate_source(None), rate_source("estimate"), rate_source(0.2)
        ("the run's noise", 'estimate', 'number')
    """
    if value is None:
        return "the run's noise"
    return ESTIMATE if value == ESTIMATE else "number"


def noise_rate_knowledge(value: float | str | None) -> list[str]:
    """The oracle knowledge in an option: a noise rate above 0 that is not an estimate.

    Example:
        >>> [noise_rate_knowledge(value) for value in (None, 0.2, "estimate")]
        [['noise rate'], ['noise rate'], []]
    """
    return [] if value in (ESTIMATE, 0) else ["noise rate"]
