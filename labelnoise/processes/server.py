"""Imported by the server of a pool: it imports modules once, and each job is a fork of it.

The server computes nothing, starts no threads and does not touch a GPU, so its forks can. Python
starts it (``multiprocessing``'s method "forkserver") and imports this module in it.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing import forkserver, get_context

# The environment variable with the names of the modules; only the server has it.
_MODULES = "LABELNOISE_SERVER_IMPORTS"
# Whether this process has a server.
_started = False


def start_server(modules: Sequence[str]) -> None:
    """Start the server of this process if there is none yet; it imports ``modules``."""
    global _started
    _started = True
    forkserver.set_forkserver_preload([__name__])
    with _environment({_MODULES: ",".join(modules), "PYTHONPATH": import_path()}):
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


def _prepare(modules: Sequence[str]) -> None:
    """Leave the group of the terminal, import the modules, and keep their objects apart.

    A signal to the group, such as Ctrl-C, then reaches the process of the pool alone. Frozen
    objects are not visited by the garbage collector, so that the forks continue to share them.
    """
    os.setsid()
    for module in modules:
        with suppress(Exception):  # the job that needs the module reports it
            import_module(module)
    sys.stdout.flush()
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # for libraries that report objects left at the end


if _MODULES in os.environ:
    _prepare(os.environ.pop(_MODULES).split(","))
