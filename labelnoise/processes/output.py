"""The output of a job: it goes first to a file of the pool, then to the directory of the run."""

from __future__ import annotations

import faulthandler
import os
import sys
from contextlib import suppress
from pathlib import Path

# In the process of a job: the file that has the output; None in other processes.
_file: Path | None = None


def send_output_to(file: Path) -> None:
    """Append everything that this process writes to stdout and stderr to ``file``.

    The standard streams flush each line, and a crash in native code writes a traceback.
    """
    global _file
    _file = file
    _append_to(file)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]
    faulthandler.enable()


def move_output_to(file: Path) -> None:
    """Append the earlier and the later output of this process to ``file``.

    Only the first call moves the output. Without :func:`send_output_to` the call does nothing.
    """
    global _file
    if _file is None:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    before, _file = _file, None
    text = b""
    with suppress(FileNotFoundError):  # removed by a later sweep, if the pool was killed
        text = before.read_bytes()
    _append_to(file)
    os.write(1, text)
    before.unlink(missing_ok=True)


def _append_to(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
