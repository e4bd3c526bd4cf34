"""Start the processes that train one run together, and wait for their end.

Lightning's own launcher runs the user's script again from ``fit``. A sweep, a notebook or a test
cannot be run again like this. Here ``train`` starts all ranks with the same composed configuration.
It keeps the claim on the run directory, waits, and ends all ranks if one fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, OmegaConf

from labelnoise.errors import InputError
from labelnoise.processes.devices import cores
from labelnoise.processes.distributed import RANK, WORLD_SIZE
from labelnoise.processes.interrupts import Interrupted, deferred, received
from labelnoise.processes.server import import_path

STRATEGIES = (
    "auto",
    "ddp",
    "ddp_find_unused_parameters_false",
    "ddp_find_unused_parameters_true",
)
_INTERVAL, _GRACE = 0.05, 5.0  # seconds: between polls, and for other ranks to report a failure


def processes_of(trainer: DictConfig, allowed: Sequence[str] | None = None) -> int:
    """The number of processes to start for ``conf/trainer``; 0 trains in this process.

    ``allowed`` are the modules of the user's own parts, see :mod:`labelnoise.config.targets`.

    Raises:
        InputError: several machines, or several devices with a strategy other than DDP.
    """
    strategy, devices = trainer.get("strategy", "auto"), trainer.get("devices", "auto")
    if trainer.get("num_nodes", 1) != 1:
        raise InputError(
            f"trainer.num_nodes is {trainer.num_nodes}: one run trains on the devices of one "
            "machine, write 1"
        )
    _check_accelerator(trainer.get("accelerator"))
    if devices in (1, "1") and strategy == "auto":
        return 0
    from pytorch_lightning.accelerators import CPUAccelerator

    from labelnoise.config.targets import instantiate

    # Lightning resolves "auto", -1, "0,2" and similar values to the devices of this machine.
    asked = instantiate(trainer, allowed)(
        logger=False, enable_checkpointing=False, strategy="auto", plugins=plugins()
    )
    several = asked.world_size > 1
    if strategy not in STRATEGIES and (several or "ddp" in str(strategy)):
        raise InputError(
            f"trainer.strategy is {strategy}; for several devices it must be one of "
            f"{', '.join(STRATEGIES)}"
        )
    if asked.world_size > (most := max(8, cores())) and isinstance(
        asked.accelerator, CPUAccelerator
    ):
        raise InputError(
            f"trainer.devices={devices} starts {asked.world_size} processes on the {cores()} cores "
            f"of this machine: write at most {most}"
        )
    return asked.world_size if several or "ddp" in str(strategy) else 0


def _check_accelerator(name: object) -> None:
    """Refuse a GPU where there is none; Lightning's message does not name the option."""
    if name not in ("gpu", "cuda", "mps"):
        return
    from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator

    there = {"cuda": CUDAAccelerator.is_available(), "mps": MPSAccelerator.is_available()}
    if not there.get(str(name), any(there.values())):
        raise InputError(
            f"trainer.accelerator={name}, but torch finds no such GPU on this machine: write "
            "trainer=cpu, or trainer.accelerator=auto"
        )


def plugins() -> list[Any]:
    """Plugins that make Lightning use the ranks of this launcher, also inside a cluster job.

    Otherwise Lightning would take the number and the rank of this process from the variables of
    SLURM, and would queue the job again without our checkpoint.
    """
    from pytorch_lightning.plugins.environments import LightningEnvironment

    return [LightningEnvironment()]


def launch(cfg: DictConfig, path: Path, overrides: Sequence[str], processes: int) -> None:
    """Train ``cfg`` in ``path`` on ``processes`` processes, and return when all have ended.

    After a first Ctrl-C or SIGTERM the processes save the run and exit; a second one ends them.

    Raises:
        InputError: the InputError of a process.
        RuntimeError: a process failed; with its traceback.
        SystemExit: this process or another one was interrupted.
    """
    with TemporaryDirectory(prefix="labelnoise-") as folder, deferred():
        orders = Path(folder)
        OmegaConf.save(cfg, orders / "config.yaml", resolve=True)
        OmegaConf.save(OmegaConf.create(list(overrides)), orders / "overrides.yaml")
        command = [sys.executable, "-P", "-m", "labelnoise.training.rank", folder, str(path)]
        port, threads = _free_port(), _threads(cfg.threads, processes)
        ranks: list[subprocess.Popen[bytes]] = []
        try:
            for rank in range(processes):
                environment = _environment(rank, processes, port, threads)
                ranks.append(subprocess.Popen(command, env=environment, stdin=subprocess.PIPE))
            _wait(ranks, orders)
        finally:
            for process in ranks:
                process.kill()
            for process in ranks:
                process.wait()
                assert process.stdin is not None
                process.stdin.close()


def _environment(rank: int, processes: int, port: int, threads: int) -> dict[str, str]:
    environment = {
        **os.environ,
        RANK: str(rank),
        WORLD_SIZE: str(processes),
        # Names of Lightning. If LOCAL_RANK is set, Lightning starts no processes itself.
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": import_path(),
    }
    if rank > 0:
        environment["PYTHONWARNINGS"] = "ignore"  # rank 0 shows them
    for name in ("RANK", "GROUP_RANK", "WORLD_SIZE"):  # set by a surrounding launcher
        environment.pop(name, None)
    return environment


def _threads(threads: int | None, processes: int) -> int:
    return threads or max(1, (os.cpu_count() or 1) // processes)


def _free_port() -> int:
    from pytorch_lightning.plugins.environments import LightningEnvironment

    return LightningEnvironment().main_port


def _wait(ranks: Sequence[subprocess.Popen[bytes]], orders: Path) -> None:
    asked = False
    while True:
        if received() is not None and not asked:
            asked = True
            for process in ranks:
                process.terminate()
        codes = [process.poll() for process in ranks]
        if any(codes):
            break
        if all(code == 0 for code in codes):
            return
        time.sleep(_INTERVAL)
    # A rank that lost its peer fails too, so wait for the rank that failed first.
    end = time.monotonic() + _GRACE
    while time.monotonic() < end and None in [process.poll() for process in ranks]:
        time.sleep(_INTERVAL)
    signal_received = received()
    if signal_received is not None:
        raise Interrupted(signal_received)
    raise _failure([process.poll() for process in ranks], orders)


def _failure(codes: Sequence[int | None], orders: Path) -> BaseException:
    """The exception for these exit codes: the most likely cause of the failure."""
    reports = [json.loads(file.read_text()) for file in sorted(orders.glob("failure-*.json"))]
    for report in reports:
        if report["line"] is not None:
            return InputError(report["line"])
    for code in codes:
        if code in (130, 143):
            return SystemExit(code)
    killed = [rank for rank, code in enumerate(codes) if code is not None and code < 0]
    if killed:
        rank, number = killed[0], -(codes[killed[0]] or 0)
        return RuntimeError(f"the process of rank {rank} was ended by signal {number}")
    if reports:
        first = min(reports, key=lambda report: report["time"])
        return RuntimeError(f"the process of rank {first['rank']} failed:\n{first['traceback']}")
    return RuntimeError(f"the processes ended with status {list(codes)}")
