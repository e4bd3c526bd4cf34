"""Run jobs as tasks of Ray (extra ``ray``), on this machine or on a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from tempfile import TemporaryDirectory
from typing import Any

from labelnoise.errors import InputError
from labelnoise.processes.interrupts import Interrupted, deferred, received, take_signals
from labelnoise.processes.pool import Ended, Job
from labelnoise.processes.remote import LOST, RemoteCall, Submitted
from labelnoise.processes.worker import INTERRUPTED, Report

_INTERVAL = 0.2  # seconds between two looks at signals
# The memory of Ray's object store in bytes. The jobs use files, so Ray's least size is enough.
_STORE = 80 * 2**20
# Ray reads them when it is imported: no usage statistics, and a job without GPUs in Ray's account
# sees the GPUs of the machine.
_VARIABLES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# Ray on this machine alone listens on the loopback address only, as it does on macOS.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


class RayPool:
    """Runs each job in a new process of Ray.

    Args:
        address: HOST:PORT or "auto" for a Ray cluster; None starts Ray on this machine.
        cores: the cores of this machine that Ray uses if it is started here.
        cpus: the cores of a job.
        gpus: the GPUs of a job.
        at_once: the number of jobs that run at the same time; None leaves it to Ray.
        explain: as in :class:`labelnoise.processes.pool.Pool`.
        say: prints a line after a signal.
    """

    def __init__(
        self,
        address: str | None,
        cores: int,
        cpus: int,
        gpus: int,
        at_once: int | None,
        explain: Callable[[BaseException], str | None],
        say: Callable[[str], None] = print,
    ) -> None:
        self.address, self.cores, self.cpus, self.gpus = address, cores, cpus, gpus
        self.at_once, self.explain, self.say = at_once, explain, say
        self._running: dict[Any, Job] = {}
        self._stopping = False

    def stop(self) -> None:
        """Start no more jobs; the running jobs save their state and end."""
        import ray

        if not self._stopping:
            self._stopping = True
            for reference in self._running:
                ray.cancel(reference)  # sends SIGINT

    def run(self, jobs: Iterator[Job]) -> Generator[Submitted | Ended, None, None]:
        """Run the jobs, and yield an event when a job is submitted and when it ends.

        A first Ctrl-C or SIGTERM calls :meth:`stop`. A second signal ends the jobs at once.

        Raises:
            InputError: Ray is not installed, or the cluster cannot be reached.
            SystemExit: after a signal, when all jobs have ended.
        """
        with deferred(), connected(self.address, self.cores) as ray:
            self._check_room(ray)
            # After one call Ray ends the process, so a job sees no state of another one.
            options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": 0}
            perform = ray.remote(max_calls=1, **options)(_perform)
            more = True
            while more or self._running:
                if received() is not None and not self._stopping:
                    self.say("the running jobs save and leave; a second signal ends them at once")
                    self.stop()
                if more := more and not self._stopping:
                    free = None if self.at_once is None else self.at_once - len(self._running)
                    batch = list(islice(jobs, free))
                    more = bool(batch) or free == 0
                    for job in batch:
                        self._running[perform.remote(RemoteCall(job, self.explain))] = job
                        yield Submitted(job, "a task of Ray")
                if self._running:
                    for reference in ray.wait(list(self._running), timeout=_INTERVAL)[0]:
                        yield self._end_of(reference)
            if (number := received()) is not None:
                raise Interrupted(number)

    def _check_room(self, ray: Any) -> None:
        """Refuse jobs that Ray would keep waiting for ever."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(
            node.get("CPU", 0) >= self.cpus and node.get("GPU", 0) >= self.gpus for node in nodes
        ):
            raise InputError(
                f"no machine of Ray has {self.cpus} cores and {self.gpus} GPUs for a job: set "
                "hydra.launcher.cpus_per_job and hydra.launcher.gpus_per_job"
            )

    def _end_of(self, reference: Any) -> Ended:
        import ray

        job = self._running.pop(reference)
        try:
            ended: Ended = ray.get(reference)
            return ended
        except ray.exceptions.TaskCancelledError:
            report = INTERRUPTED
        except ray.exceptions.OutOfMemoryError:
            report = Report("killed", reason="ended by Ray, because the memory was full")
        except ray.exceptions.RayTaskError as error:  # the job could not begin
            line = " ".join(str(error.cause).split()) or type(error.cause).__name__
            report = Report("failed", reason=f"the job cannot be started: {line}")
        except ray.exceptions.RayError:  # its process or its machine does not exist any more
            report = LOST
        return Ended(job, 0, 0.0, report)


def _perform(call: RemoteCall) -> Ended:
    """Run a job in a process of Ray."""
    return call()


@contextmanager
def connected(address: str | None, cores: int) -> Iterator[Any]:
    """Connect to Ray, or start it on this machine, and end the connection after the block.

    Raises:
        InputError: Ray is not installed, or the cluster cannot be reached.
    """
    os.environ.update(_VARIABLES)
    if address is None:
        os.environ.update(_LOOPBACK)
    else:
        _check_reachable(address)
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError(
            'hydra/launcher=ray needs Ray: write pip install "labelnoise[ray]"'
        ) from None
    _silence()
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    # Ray's own folder would stay in /tmp. The path of a socket is short, so not in a longer TMPDIR.
    with TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        if address is None:
            options |= {
                "num_cpus": cores, "include_dashboard": False, "_temp_dir": folder,
                "object_store_memory": _STORE, "address": "local",
            }  # fmt: skip
        else:
            options |= {"address": address}
        try:
            ray.init(**options)
        except Exception as error:
            where = "be started on this machine" if address is None else f"be reached at {address}"
            line = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"Ray cannot {where}: {line}") from error
        try:
            take_signals()  # because Ray has installed its own handlers
            yield ray
        finally:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ask the address for a connection; Ray itself would print pages and wait for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise InputError(f"hydra.launcher.address must be null, auto or HOST:PORT, got {address}")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"no Ray cluster answers at hydra.launcher.address={address}: {reason}"
        ) from error


def _silence() -> None:
    """Drop Ray's own lines on killed processes, which the list of the sweep names."""
    from ray._private import worker

    with suppress(AttributeError):
        worker.print_to_stdstream = lambda *args, **options: None
