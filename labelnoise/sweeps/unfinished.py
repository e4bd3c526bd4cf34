"""The jobs of a sweep that did not finish, and the command that repeats only these jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labelnoise.config.command_line import repeat_command
from labelnoise.errors import InputError


@dataclass(frozen=True)
class Unfinished:
    """A job that did not finish.

    Attributes:
        number: the number of the job.
        status: "failed", "killed" or "interrupted"; None for a job that was not started.
        overrides: its options.
        reason: one line that says why the job did not finish.
        output: the file with its output, if there is one.
    """

    number: int
    status: str | None = None
    overrides: Sequence[str] = ()
    reason: str | None = None
    output: Path | None = None


# The jobs of the sweep of this process that did not finish, and the name of the sweep.
_unfinished: list[Unfinished] = []
_name = ""


def note(name: str, jobs: Sequence[Unfinished]) -> None:
    """Remember unfinished jobs of the sweep ``name`` for :func:`unfinished_listed`."""
    global _name
    _name = name
    _unfinished.extend(jobs)


def forget() -> None:
    """Forget the unfinished jobs of this sweep, because the caller reports on them."""
    _unfinished.clear()


@contextmanager
def unfinished_listed() -> Iterator[None]:
    """Wrap a command: at its end list the jobs of its sweep that did not finish.

    Raises:
        InputError: jobs did not finish, and the command ended without an error.
    """
    _unfinished.clear()
    try:
        yield
    finally:
        if _unfinished:
            sys.stderr.write(listing(_unfinished, _name))
    if _unfinished:
        raise InputError(f"{count_of(len(_unfinished))} did not finish")


def count_of(jobs: int) -> str:
    """A number of jobs in words."""
    return f"{jobs} job{'' if jobs == 1 else 's'} of the sweep"


def listing(jobs: Sequence[Unfinished], name: str) -> str:
    """The jobs with their reasons, and the command that repeats them.

    Example:
        >>> lines = listing([Unfinished(3, "killed", ["seed=3"], "killed by SIGKILL")], "a")
        >>> print(lines.partition("To repeat")[0])
        1 job of the sweep did not finish:
          3  killed  seed=3  killed by SIGKILL
        <BLANKLINE>
    """
    ended = sorted((job for job in jobs if job.status), key=lambda job: job.number)
    waiting = sorted(job.number for job in jobs if not job.status)
    rows = [(str(job.number), str(job.status), " ".join(job.overrides)) for job in ended]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = [f"{count_of(len(jobs))} did not finish:"]
    for job, row in zip(ended, rows, strict=True):
        place = f" ({job.output})" if job.output else ""
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(f"  {'  '.join(cells)}  {job.reason}{place}")
    if waiting:
        lines.append(f"  not started: {ranges(waiting)}")
    lines.append(
        "To repeat only these jobs (finished jobs are read, not computed again), write:\n  "
        + repeat_command(name)
    )
    return "\n".join(lines) + "\n"


def ranges(numbers: Sequence[int]) -> str:
    """Sorted numbers in words.

    Example:
        >>> ranges([1, 4, 5, 6, 9])
        '1, 4 to 6, 9'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]} to {r[-1]}" for r in runs)
