"""The launchers' options, and the pools that they describe: where jobs run, how many at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from omegaconf import DictConfig, OmegaConf

from labelnoise.checks import COUNT, Range, whole
from labelnoise.config.command_line import explain
from labelnoise.config.options import check_value
from labelnoise.errors import InputError
from labelnoise.processes.devices import cores, gpu_of
from labelnoise.processes.pool import Ended, Job, Pool, Started
from labelnoise.processes.remote import Submitted
from labelnoise.processes.server import import_path, start_server
from labelnoise.sweeps.shares import shares_of

# The modules of a run, also those that libraries import at their first use. The server of a sweep
# imports them once for all jobs.
MODULES = (
    "labelnoise.training.train",
    "labelnoise.report.loaded",
    "labelnoise.report.pictures.sweep",
    "matplotlib.backends.backend_agg",
    *(f"PIL.{kind}ImagePlugin" for kind in ("Bmp", "Gif", "Jpeg", "Ppm", "Png")),
    "tensorboard.plugins.hparams.summary_v2",
    "torch.utils.tensorboard",
    "fsspec.implementations.chained",
    "torch.utils.serialization",
    "xml.dom.minidom",
)


class AnyPool(Protocol):
    """The part of :class:`labelnoise.processes.pool.Pool` that a sweep uses."""

    def run(self, jobs: Iterator[Job]) -> Generator[Started | Submitted | Ended, None, None]:
        """Run the jobs, and yield their events."""

    def stop(self) -> None:
        """Start no more jobs; the running jobs save their state and end."""


@dataclass(frozen=True)
class Crew:
    """A pool for the jobs of a sweep.

    Attributes:
        pool: runs the jobs.
        at_once: the number of jobs that run at the same time; None if a cluster decides.
        threads: the CPU threads of a job whose ``threads`` is null; None leaves it to the job.
        words: the place of the jobs, for the first line of the sweep.
    """

    pool: AnyPool
    at_once: int | None
    threads: int | None
    words: str


Options = Mapping[str, Any]


def crew_of(
    name: str, options: Options, cfg: DictConfig, jobs: int, folder: Path, module: str, say: Any
) -> Crew:
    """The crew of a launcher.

    Args:
        name: a name in :data:`CREWS`.
        options: the launcher's options, see :func:`check`.
        cfg: the configuration of the first job.
        jobs: the number of jobs.
        folder: the folder of the sweep.
        module: the module of the jobs' function.
        say: prints a line.

    Raises:
        InputError: an extra is not installed, or the cluster cannot be used.
    """
    return CREWS[name](options, cfg, jobs, folder, module, say)


def _isolated(
    options: Options, cfg: DictConfig, jobs: int, folder: Path, module: str, say: Any
) -> Crew:
    shares = shares_of(cfg, jobs, options["n_jobs"])
    start_server([module, *MODULES])
    places = [gpu_of(place, shares.gpus) for place in range(shares.at_once)]
    pool = Pool(places, explain, say, overlap=not shares.gpus)
    gpus = f", {len(shares.gpus)} GPUs" if shares.gpus else ""
    return Crew(pool, shares.at_once, shares.threads, f"{cores()} cores{gpus}")


def _slurm_local(
    options: Options, cfg: DictConfig, jobs: int, folder: Path, module: str, say: Any
) -> Crew:
    from labelnoise.processes.submitit_pool import SubmititPool

    submitit = _submitit("slurm_local")
    executor = submitit.LocalExecutor(folder / ".submitit", options["max_num_timeout"])
    executor.update_parameters(
        timeout_min=options["timeout_min"],
        signal_delay_s=options["signal_delay_s"],
        gpus_per_node=_gpus(options, cfg),
    )
    _let_jobs_import()
    at_once = shares_of(cfg, jobs, options["n_jobs"]).at_once
    pool = SubmititPool(executor, at_once, explain, say)
    return Crew(pool, at_once, _threads(options, cfg), "submitit on this machine")


def _slurm(
    options: Options, cfg: DictConfig, jobs: int, folder: Path, module: str, say: Any
) -> Crew:
    from labelnoise.processes.submitit_pool import SubmititPool

    submitit = _submitit("slurm")
    if not submitit.SlurmExecutor.affinity() > 0:
        raise InputError(
            "hydra/launcher=slurm submits jobs with sbatch and srun, and this machine does not "
            "have them: write the command on a login node of a SLURM cluster, or use "
            "hydra/launcher=isolated"
        )
    executor = submitit.SlurmExecutor(folder / ".submitit", options["max_num_timeout"])
    parameters = {
        "job_name": "labelnoise",
        "time": options["timeout_min"],
        "cpus_per_task": options["cpus_per_job"],
        "gpus_per_node": _gpus(options, cfg) or None,
        "mem": None if options["mem_gb"] is None else f"{options['mem_gb']}GB",
        "array_parallelism": options["n_jobs"],
        # A job continues from its checkpoint, so SLURM may queue it again.
        "additional_parameters": {"requeue": True, **options["additional_parameters"]},
        **{name: options[name] for name in
           ("partition", "account", "qos", "constraint", "signal_delay_s", "setup")},
    }  # fmt: skip
    executor.update_parameters(**{k: v for k, v in parameters.items() if v is not None})
    _let_jobs_import()
    at_once = min(options["n_jobs"], jobs)
    pool = SubmititPool(executor, None, explain, say)
    return Crew(pool, at_once, _threads(options, cfg), "SLURM")


def _ray(options: Options, cfg: DictConfig, jobs: int, folder: Path, module: str, say: Any) -> Crew:
    from labelnoise.processes.ray_pool import RayPool

    address, cpus, gpus = options["address"], options["cpus_per_job"], _gpus(options, cfg)
    if address is None and cpus > cores():
        raise InputError(
            f"hydra.launcher.cpus_per_job is {cpus}, and this machine has {cores()} cores"
        )
    _let_jobs_import()
    pool = RayPool(address, cores(), cpus, gpus, options["n_jobs"], explain, say)
    at_once, words = options["n_jobs"], f"Ray cluster at {address}"
    if address is None:
        at_once, words = min(at_once or cores() // cpus, jobs), f"Ray on {cores()} cores"
    return Crew(pool, at_once, _threads(options, cfg), words)


CREWS: Mapping[str, Callable[..., Crew]] = {
    "isolated": _isolated,
    "slurm_local": _slurm_local,
    "slurm": _slurm,
    "ray": _ray,
}
_GPUS = whole(0)
_SECONDS = Range(0, 86400, whole=True)
# The types and ranges of the options in conf/hydra/launcher/.
_OPTIONS: dict[str, tuple[Any, Range | None]] = {
    "account": (str | None, None),
    "additional_parameters": (dict, None),
    "address": (str | None, None),
    "constraint": (str | None, None),
    "cpus_per_job": (int, COUNT),
    "fail_fast": (bool, None),
    "gpus_per_job": (int | None, _GPUS),
    "max_num_timeout": (int, _GPUS),
    "mem_gb": (float | None, Range(0, above=True)),
    "n_jobs": (int | None, COUNT),
    "partition": (str | None, None),
    "qos": (str | None, None),
    "setup": (list | None, None),
    "signal_delay_s": (int, _SECONDS),
    "timeout_min": (int, COUNT),
}


def check(options: Mapping[str, Any]) -> Options:
    """The options of a launcher as plain values.

    Raises:
        InputError: an option does not exist, has the wrong type, or is out of range.
    """
    plain = {
        name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for name, value in options.items()
    }
    for name, value in plain.items():
        if name not in _OPTIONS:
            there = ", ".join(sorted(set(plain) & set(_OPTIONS)))
            raise InputError(f"hydra.launcher.{name} does not exist, hydra.launcher has: {there}")
        check_value(f"hydra.launcher.{name}", value, *_OPTIONS[name])
    return plain


def _threads(options: Options, cfg: DictConfig) -> int | None:
    """The threads of a job on a cluster; an audit and a phase diagram choose for themselves."""
    if "folds" in cfg or "threads" not in cfg or cfg.threads:
        return None
    return int(options["cpus_per_job"])


def _gpus(options: Options, cfg: DictConfig) -> int:
    if options["gpus_per_job"] is not None:
        return int(options["gpus_per_job"])
    if cfg.get("device") == "cuda":  # of a phase diagram
        return 1
    trainer = cfg.get("trainer", {})
    if trainer.get("accelerator") not in ("gpu", "cuda"):
        return 0
    devices = trainer.get("devices", 1)
    if not str(devices).isdecimal():
        raise InputError(
            f"trainer.devices is {devices}: write the number of GPUs of a job on a cluster, "
            "as trainer.devices=1, or set hydra.launcher.gpus_per_job"
        )
    return int(devices)


def _submitit(launcher: str) -> Any:
    try:
        import submitit
    except ModuleNotFoundError:
        raise InputError(
            f'hydra/launcher={launcher} needs submitit: write pip install "labelnoise[cluster]"'
        ) from None
    return submitit


def _let_jobs_import() -> None:
    """The processes of jobs inherit this variable, and import the same modules as this one."""
    os.environ["PYTHONPATH"] = import_path()
