"""Check whether a learning-rate schedule, in epochs or in steps, fits the length of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from labelnoise.checks import COUNT, NOT_NEGATIVE, POSITIVE, Range
from labelnoise.config.options import check_value
from labelnoise.errors import InputError

INTERVALS = ("epoch", "step")
# The types and ranges of the options of a schedule.
ALLOWED: dict[str, tuple[Any, Range]] = {
    "step_size": (int, COUNT),
    "T_max": (int, COUNT),
    "milestones": (list[int], COUNT),
    "eta_min": (float, NOT_NEGATIVE),
    "gamma": (float, POSITIVE),
}


def run_steps(steps_per_epoch: int, max_steps: int, max_epochs: int) -> int:
    """Number of optimizer steps of a run; -1 means no limit, for at most one of the two.

    Example:
        >>> run_steps(100, max_steps=-1, max_epochs=60), run_steps(100, 250, 60)
        (6000, 250)
    """
    limits = [max_steps] if max_steps > 0 else []
    if max_epochs > 0:
        limits.append(max_epochs * steps_per_epoch)
    return min(limits)


def check_schedule(
    options: Mapping[str, Any], steps_per_epoch: int, max_steps: int, max_epochs: int
) -> None:
    """Refuse a schedule that does not fit a run of this length.

    Args:
        options: options of the scheduler class, and ``interval`` (default ``"epoch"``).
        steps_per_epoch: optimizer steps in an epoch of Lightning.
        max_steps, max_epochs: the length of the run; -1 means no limit.

    Raises:
        InputError: an unknown interval; a length or factor that is not above 0; a schedule in
            epochs for a run of at most one epoch; a schedule in steps with a length in epochs.
    """
    interval = options.get("interval", "epoch")
    if interval not in INTERVALS:
        raise InputError(f"scheduler.interval must be epoch or step, got {interval}")
    steps = run_steps(steps_per_epoch, max_steps, max_epochs)
    # Lengths in steps that are the same shares of the run as the defaults in conf/scheduler.
    in_steps = {
        "step_size": f"{math.ceil(steps / 3)}",
        "milestones": f"[{math.ceil(steps / 2)},{math.ceil(3 * steps / 4)}]",
        "T_max": f"{steps}",
    }
    advice = " ".join(f"scheduler.{key}={in_steps[key]}" for key in in_steps if key in options)
    if interval == "epoch" and 0 < max_steps <= steps_per_epoch:
        raise InputError(
            f"the schedule counts epochs, but this run ends within its first epoch, after {steps} "
            f"steps: write scheduler.interval=step {advice}".rstrip()
        )
    T_max = options.get("T_max")
    if T_max == -1 == max_epochs:
        raise InputError(
            "scheduler.T_max is max_epochs=-1, no limit, so the schedule has no end: give "
            f"max_epochs, or write scheduler.interval=step {advice}"
        )
    for key, (hint, bounds) in ALLOWED.items():
        if key in options:
            check_value(f"scheduler.{key}", options[key], hint, bounds)
    if options.get("milestones") == []:
        raise InputError("scheduler.milestones must be whole numbers, as [30,45], got []")
    if interval == "epoch" and T_max is not None and T_max < max_epochs:
        raise InputError(
            f"scheduler.T_max={T_max} is less than the {max_epochs} epochs of the run, so the rate "
            f"would rise again: write scheduler.T_max={max_epochs}"
        )
    if interval == "step" and T_max is not None and T_max <= max_epochs and T_max < steps:
        raise InputError(
            f"scheduler.T_max={T_max} counts steps, but this run has {steps} steps: write {advice}"
        )
