"""The folders of the jobs of a sweep, and the jobs that another process runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from labelnoise.config.composition import config_hash
from labelnoise.config.score import score_of
from labelnoise.errors import BusyError, InputError
from labelnoise.run_directory import RunDirectory
from labelnoise.sweeps.ledger import hashes_of_jobs, recorded

# The folders of jobs that this process left to other processes.
_left: set[Path] = set()


def job_folders(sweep: Path) -> list[Path]:
    """The folders of the jobs of a sweep, sorted by number."""
    found = [path for path in sweep.glob("*/") if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def train_in_sweep(
    cfg: DictConfig, numbered: Path, overrides: Sequence[str]
) -> dict[str, Any] | None:
    """Train a job of a sweep in its :func:`job_folder`.

    Returns:
        The summary of the run; None if another process trains the same run. The sweep then
        continues with its other jobs, and waits for this one at its end (:func:`wait_for_others`).
    """
    from labelnoise.sweeps.pruning import pruning_of
    from labelnoise.training.train import train

    while True:
        folder = job_folder(numbered, cfg)
        if folder != numbered:
            with suppress(OSError):
                numbered.rmdir()  # Hydra created it for this job; fails if another run is there
        try:
            with recorded(folder, config_hash(cfg), overrides) as entry:
                summary = train(cfg, folder, overrides, pruning_of(cfg))
                if summary["status"] != "pruned":  # the score of a whole run is comparable
                    entry.score, entry.score_name = score_of(summary, cfg.score), cfg.score
            return summary
        except InputError as error:
            if job_folder(numbered, cfg) != folder:
                continue  # meanwhile another process took the folder for another job
            if not isinstance(error, BusyError):
                raise
            if _hash_in(folder) == config_hash(cfg):
                print(f"run {folder.name} is run by another process", flush=True)
                _left.add(folder)
                return None
            time.sleep(0.1)  # the other process has not written its configuration yet


def job_folder(numbered: Path, cfg: DictConfig) -> Path:
    """The folder of a job, found by its configuration, because the order of jobs can change.

    Returns:
        The folder in the sweep with the configuration ``cfg``. If there is none, the folder
        ``numbered`` of the job's own number. If this folder has another run and ``rerun`` is false,
        the folder with the next free number.
    """
    if not numbered.name.isdigit():
        return numbered
    others = job_folders(numbered.parent)
    ours = config_hash(cfg)
    known = hashes_of_jobs(numbered.parent)
    for folder in others:
        # Reading a configuration takes 20 ms, and each job of a large sweep looks for its folder.
        if ours in known.get(folder.name, {ours}) and _hash_in(folder) == ours:
            return folder
    if cfg.get("rerun", False) or _hash_in(numbered) is None:
        return numbered
    taken = [int(folder.name) for folder in others if RunDirectory(folder).config.exists()]
    return numbered.with_name(str(max(taken) + 1))


def jobs_left() -> list[Path]:
    """The folders of jobs that this process left to other processes."""
    return sorted(_left)


def leave(folders: Iterable[Path]) -> None:
    """Add folders to those that this process left to other processes."""
    _left.update(folders)


def wait_for_others(sweep: Path) -> list[Path]:
    """Wait for the jobs of a sweep that other processes run.

    Returns:
        The folders of jobs that the other processes did not finish.
    """
    left = {folder for folder in _left if folder.parent == sweep}
    for folder in job_folders(sweep):
        lock = FileLock(folder / ".lock", blocking=False)
        if _finished(folder) or not (folder / ".lock").exists():
            continue
        try:
            with lock:
                pass
        except Timeout:
            left.add(folder)
            print(f"waiting for another process to finish run {folder.name} in {sweep}", flush=True)
            with lock.acquire(blocking=True, poll_interval=0.2):
                pass
    return sorted(folder for folder in left if not _finished(folder))


def _finished(folder: Path) -> bool:
    return RunDirectory(folder).summary.exists()


def _hash_in(folder: Path) -> str | None:
    """The hash of the configuration in the folder of a run; None if it cannot be read."""
    path = RunDirectory(folder).config
    try:
        return _hash_of(path, path.stat().st_mtime_ns)
    except Exception:  # missing or damaged; the check of the run reports this
        return None


@lru_cache(maxsize=4096)
def _hash_of(path: Path, written: int) -> str:
    return config_hash(RunDirectory(path.parents[1]).read_config())  # refuses a damaged file
