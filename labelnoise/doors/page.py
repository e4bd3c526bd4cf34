"""``python -m labelnoise.report html DIR``: a directory of any kind as one HTML page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from labelnoise.audit.page import page_of_audit
from labelnoise.errors import InputError
from labelnoise.phase_diagram.page import page_of_diagram
from labelnoise.report.html.blocks import Block, Page, Words
from labelnoise.report.html.render import write_page
from labelnoise.report.html.run import page_of_run
from labelnoise.report.html.sweep import page_of_sweep
from labelnoise.report.loaded import load_run, load_runs, reading
from labelnoise.run_directory import RunDirectory
from labelnoise.sweeps.ledger import ledger_of
from labelnoise.sweeps.status import report_status


def _run(folder: Path) -> Page:
    return page_of_run(load_run(folder))


def _sweep(folder: Path) -> Page:
    state: list[Block] = []
    if ledger_of(folder).is_file():
        state = [Words(line) for line in report_status(folder).splitlines()]
    return page_of_sweep(folder, load_runs([folder]), state)


# The file that only a directory of this kind has, and the function that makes its page.
KINDS: tuple[tuple[str, Callable[[Path], Page]], ...] = (
    ("summary.json", _run),
    ("audit.json", page_of_audit),
    ("diagram.npz", page_of_diagram),
    ("*/.hydra/config.yaml", _sweep),
)


def report_html(folder: Path, to: Path | None) -> str:
    """Write the page of a run, a sweep, an audit or a phase diagram.

    Args:
        folder: its directory.
        to: the file; None is report.html in the directory.

    Raises:
        InputError: the directory is none of these, is not finished or is damaged.
    """
    make = next((make for pattern, make in KINDS if any(folder.glob(pattern))), None)
    if make is None:
        raise InputError(
            f"{folder} is not the directory of a finished run, a sweep, an audit or a phase diagram"
        )
    with reading(folder):
        page = make(folder)
        return write_page(page, RunDirectory(folder).report if to is None else to)
