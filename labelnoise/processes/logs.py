"""The screen and the file to which a process logs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class _File(logging.FileHandler):
    """A file that loses lines while the disk is full; the run continues."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):  # closing writes what is left in the buffer
            super().close()


@contextmanager
def logging_to(path: Path | None) -> Iterator[None]:
    """Log this package to the screen and to ``path``, and from Lightning only warnings.

    With None the process logs nothing, so that only one of the processes of a run logs.
    """
    ours = logging.getLogger("labelnoise")
    lightning = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    screen: logging.Handler = logging.NullHandler() if path is None else logging.StreamHandler()
    file: logging.Handler = logging.NullHandler() if path is None else _File(path)
    screen.setFormatter(logging.Formatter("%(message)s"))
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    levels = [logger.level for logger in (ours, *lightning)]
    ours.setLevel(logging.INFO)
    for logger in lightning:
        logger.setLevel(logging.WARNING)
    for handler in (screen, file):
        ours.addHandler(handler)
    try:
        yield
    except Exception as error:
        # Only to the file: the command line prints the error on the screen.
        ours.removeHandler(screen)
        ours.error("failed: %s", error)
        raise
    finally:
        for handler in (screen, file):
            ours.removeHandler(handler)
            handler.close()
        for logger, level in zip((ours, *lightning), levels, strict=True):
            logger.setLevel(level)
