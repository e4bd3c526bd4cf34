"""The server of a pool: it imports modules once, and each job is a fork of the server.

The server computes nothing, starts no threads and does not touch a GPU, so its forks can use
threads and a GPU. Python starts the server (``multiprocessing``'s method "forkserver") and imports
this module in it.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, get_context

# An environment variable that only the server has.
_SERVER = "LABELNOISE_SERVER"
# Whether this process has a server.
_started = False


def start_server(modules: Sequence[str]) -> None:
    """Start the server of this process if there is none yet; it imports ``modules``."""
    global _started
    _started = True
    forkserver.set_forkserver_preload([__name__, *modules])
    with _environment({_SERVER: "1", "PYTHONPATH": import_path()}):
        forkserver.ensure_running()


def call_in_fork(function: Callable[..., object], *arguments: object) -> int:
    """Call a function in a fork of the server, with its output on the screen.

    Without a server the function is called in this process.

    Returns:
        0, or the status with which the fork ended.
    """
    if not _started:
        function(*arguments)
        return 0
    process = get_context("forkserver").Process(target=function, args=arguments)
    process.start()
    try:
        process.join()
    finally:
        process.kill()
    return process.exitcode or 0


def import_path() -> str:
    """PYTHONPATH for a child process that imports the same modules as this one."""
    return os.pathsep.join(word or os.getcwd() for word in sys.path)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _prepare() -> None:
    """Leave the process group of the terminal, and freeze imported objects before the first fork.

    A signal to the group, such as Ctrl-C, then reaches only the process of the pool. The garbage
    collector does not visit frozen objects, so the forks continue to share them.
    """
    os.setsid()
    os.register_at_fork(before=_freeze)
    atexit.register(gc.unfreeze)  # for libraries that report objects left at the end


def _freeze() -> None:
    if not gc.get_freeze_count():
        sys.stdout.flush()
        gc.collect()
        gc.freeze()


if os.environ.pop(_SERVER, None):  # this module is imported first, before the slow ones
    _prepare()
