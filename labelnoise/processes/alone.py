"""Refuse a command that another program starts as several processes at the same time."""

from __future__ import annotations

import os
from collections.abc import Mapping

from labelnoise.errors import InputError

# The programs that start several processes, with the variables that have the number of a process
# and the count of the processes.
_LAUNCHERS = (
    ("torchrun", "RANK", "WORLD_SIZE"),
    ("SLURM", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("SLURM", "SLURM_PROCID", "SLURM_NTASKS"),
    ("MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("MPI", "PMI_RANK", "PMI_SIZE"),
    ("jsrun", "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"),
)
# In a shell of salloc one process runs, whatever the number of tasks.
_SHELLS = ("bash", "interactive")


def check_alone(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to be one of several processes: each of them would compute everything.

    Raises:
        InputError: names the launcher and the number of processes.

    Example:
        >>> check_alone({"RANK": "0", "WORLD_SIZE": "1"})
        >>> check_alone({"RANK": "0", "WORLD_SIZE": "2"})
        Traceback (most recent call last):
        ...
        labelnoise.errors.InputError: torchrun starts this command as 2 processes \
(WORLD_SIZE is 2): start it once; one run trains on the devices of one machine, and \
trainer.devices starts their processes
    """
    for launcher, number, count in _LAUNCHERS:
        if count == "SLURM_NTASKS" and environment.get("SLURM_JOB_NAME") in _SHELLS:
            continue
        found = environment.get(count, "1")
        if number in environment and found != "1":
            advice = ", with --ntasks=1" if launcher == "SLURM" else ""
            raise InputError(
                f"{launcher} starts this command as {found} processes ({count} is {found}): start "
                f"it once{advice}; one run trains on the devices of one machine, and "
                "trainer.devices starts their processes"
            )
