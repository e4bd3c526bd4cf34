"""The directory of a run: one process at a time writes it, and no run is overwritten."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from labelnoise.config.command_line import explain
from labelnoise.config.composition import config_hash, differences
from labelnoise.errors import BusyError, InputError
from labelnoise.files.manifest import Manifest, changed_versions, versions
from labelnoise.files.plain_yaml import read_yaml
from labelnoise.files.writing import remove_parts, write_text
from labelnoise.processes.output import move_output_to

log = logging.getLogger(__name__)

# The folder for runs that rerun=true replaces.
REPLACED = ".replaced"


class RunDirectory:
    """The paths of the files of a run."""

    def __init__(self, path: str | Path) -> None:
        self.path = path = Path(path)
        self.manifest = Manifest(path)
        self.config = path / ".hydra" / "config.yaml"
        self.overrides = path / ".hydra" / "overrides.yaml"
        self.log = path / "run.log"
        self.output = path / "output.log"
        self.noise = path / "noise.npz"
        self.metrics = path / "metrics.csv"
        self.coefficients = path / "coefficients.npz"
        self.gradients = path / "gradients.npz"
        self.held_out = path / "held_out.npz"
        self.dynamics = path / "dynamics"
        self.suspects = path / "suspects.csv"
        self.report = path / "report.html"
        self.unreadable = path / "unreadable.csv"
        self.figures = path / "figures"
        self.tensorboard = path / "tensorboard"
        self.csv = path / "csv"
        self.wandb = path / "wandb"
        self.checkpoints = path / "checkpoints"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.previous_checkpoint = self.checkpoints / "previous.ckpt"
        self.selected_checkpoint = self.checkpoints / "selected.ckpt"
        self.summary = path / "summary.json"

    def has_folds(self) -> bool:
        """Whether this is the directory of an audit, with a run of a fold."""
        return any(self.path.glob("fold_*"))

    def read_summary(self) -> dict[str, Any]:
        """The summary of the finished run.

        Raises:
            InputError: there is no finished run, or its summary is damaged.
        """
        if not self.summary.is_file() and self.has_folds():
            raise InputError(
                f"{self.path} is the directory of an audit: give one of its runs, as "
                f"{self.path / 'fold_0'}"
            )
        if not self.summary.is_file():
            raise InputError(
                f"{self.path} holds no finished run: it has no summary.json; give the "
                "directory of a finished run"
            )
        return self.read_json(self.summary)

    def read_json(self, path: Path) -> dict[str, Any]:
        """The object in a JSON file of the directory.

        Raises:
            InputError: the file is damaged.
        """
        self.manifest.check(path)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError("it is not an object")
        except ValueError as error:
            raise InputError(f"{path} is damaged ({error})") from error
        return found

    def write_json(self, path: Path, value: Mapping[str, Any]) -> None:
        """Save the checksum of a JSON file, then write the file; NaN becomes null."""
        text = json.dumps(_without_nan(value), indent=2, allow_nan=False) + "\n"
        self.manifest.add_files({path: hashlib.sha256(text.encode()).hexdigest()})
        write_text(path, text)

    def read_config(self) -> DictConfig:
        """The resolved configuration of the run.

        Raises:
            InputError: there is no run, or the file is damaged.
        """
        if not self.config.is_file():
            raise InputError(
                f"{self.path} holds no run: it has no .hydra/config.yaml; give the directory of "
                "a run"
            )
        config = self._read_yaml(self.config)
        if not isinstance(config, DictConfig):
            raise InputError(f"{self.config} is damaged: it cannot be read as a mapping")
        return config

    def read_settings(self) -> dict[str, Any]:
        """:meth:`read_config` as a dictionary, read ten times as fast.

        Raises:
            InputError: as :meth:`read_config`.
        """
        if not self.config.is_file():
            raise InputError(
                f"{self.path} holds no run: it has no .hydra/config.yaml; give the directory of "
                "a run"
            )
        self.manifest.check(self.config)
        try:
            settings = read_yaml(self.config)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{self.config} is damaged: it cannot be read") from error
        if not isinstance(settings, dict):
            raise InputError(f"{self.config} is damaged: it cannot be read as a mapping")
        return settings

    def read_overrides(self) -> list[str]:
        """The command-line words of the run.

        Raises:
            InputError: the file is missing or damaged.
        """
        return [str(word) for word in self._read_yaml(self.overrides)]

    def _read_yaml(self, path: Path) -> Any:
        self.manifest.check(path)
        try:
            return OmegaConf.load(path)
        except Exception as error:  # YAML, encoding and interpolation raise different errors
            raise InputError(f"{path} is damaged: it cannot be read") from error

    def check_results(self) -> None:
        """Compare the files of a finished run with their checksums.

        Raises:
            InputError: a file is missing or damaged.
        """
        self.manifest.check(*self.manifest.files())

    def is_whole(self) -> bool:
        """Whether the directory has a finished run with undamaged files."""
        try:
            self.check_results()
        except InputError:
            return False
        return self.manifest.exists() and self.summary.is_file()

    def check_data(self, sources: Mapping[str, str | None]) -> None:
        """Compare the fingerprints of the data files with the manifest, or save them there.

        Args:
            sources: a fingerprint for each option that names files, as ``data.labels``; None if the
                files do not exist. A finished run can be read without them.

        Raises:
            InputError: the files have changed since the start of the run.
        """
        if None in sources.values() and not self.summary.exists():
            return  # reading the data raises an error for the missing file
        before = self.manifest.section("data")
        if not before:
            self.manifest.update(data=sources)
            return
        changed = sorted(k for k in before.keys() | sources if before.get(k) != sources.get(k))
        absent = [name for name in changed if sources.get(name) is None and self.summary.exists()]
        if absent:
            log.warning("%s: the files are missing and were not compared", ", ".join(absent))
        if changed != absent:
            names = ", ".join(name for name in changed if name not in absent)
            raise InputError(
                f"the files of {names} have changed since {self.path} was started: choose another "
                "name=, or write rerun=true to compute the run again"
            )


@contextmanager
def claim(path: Path, cfg: DictConfig, overrides: Sequence[str]) -> Iterator[RunDirectory]:
    """Lock ``path`` for a run of ``cfg`` during the block; a kill also releases the lock.

    In a new directory the configuration is written to ``.hydra``. A directory with the same run
    does not change, so that the run can be resumed or read. With ``cfg.rerun`` an existing run is
    moved to ``.replaced`` first.

    Raises:
        BusyError: another process writes there.
        InputError: the directory has another run.
    """
    directory = RunDirectory(path)
    path.mkdir(parents=True, exist_ok=True)
    again = bool(cfg.get("rerun", False))
    if not _is_fresh(directory) and not again:  # before this run writes anything
        _refuse_another_run(directory, cfg)
    lock = FileLock(path / ".lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(f"another process is writing to {path}: choose another name=") from None
    fresh = False
    try:
        if again and not _is_fresh(directory):
            _set_aside(directory)
        fresh = _is_fresh(directory)
        if fresh:
            _begin(directory, cfg, overrides)
        else:  # meanwhile another process may have started a run here
            _refuse_another_run(directory, cfg)
            remove_parts(
                path, directory.config.parent, directory.checkpoints, directory.dynamics,
                directory.figures,
            )  # fmt: skip
        move_output_to(directory.output)
        yield directory
    except Exception as error:
        has_computed = directory.checkpoints.exists() or directory.has_folds()
        if fresh and not has_computed and explain(error) is not None:
            _free(directory)
        raise
    finally:
        lock.release()


def _begin(directory: RunDirectory, cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Write the checksums of the configuration, and then the configuration."""
    directory.config.parent.mkdir(exist_ok=True)
    remove_parts(directory.path, directory.config.parent)
    texts = {
        directory.overrides: OmegaConf.to_yaml(list(overrides)),
        directory.config: OmegaConf.to_yaml(cfg, resolve=True),
    }
    directory.manifest.path.unlink(missing_ok=True)  # left by a run that was killed at its start
    directory.manifest.update(versions=versions())
    directory.manifest.add_files(
        {path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()}
    )
    for path, text in texts.items():
        write_text(path, text)


def _is_fresh(directory: RunDirectory) -> bool:
    """Whether the directory has no run; a run that was killed at its start leaves only these."""
    begun = {
        ".lock", ".hydra", REPLACED,
        directory.log.name, directory.output.name, directory.manifest.path.name,
    }  # fmt: skip
    found = {entry.name for entry in directory.path.iterdir() if not entry.match(".*.part")}
    return found <= begun and not directory.config.is_file()


def _set_aside(directory: RunDirectory) -> None:
    """Move the run in the directory to ``.replaced/N``."""
    if not directory.config.is_file() and not directory.manifest.exists():
        raise _no_run(directory)
    shelf = directory.path / REPLACED
    shelf.mkdir(exist_ok=True)
    numbers = [int(entry.name) for entry in shelf.iterdir() if entry.name.isdecimal()]
    place = shelf / str(max(numbers, default=0) + 1)
    place.mkdir()
    for entry in directory.path.iterdir():
        if entry.name not in (".lock", REPLACED):
            entry.rename(place / entry.name)


def _no_run(directory: RunDirectory) -> InputError:
    return InputError(
        f"{directory.path} is not empty and holds no run: choose another name= or output_dir="
    )


def _free(directory: RunDirectory) -> None:
    """Remove the files written before training, so that a corrected command can use the name.

    Other files stay.
    """
    for file in (
        directory.config, directory.overrides, directory.noise, directory.log, directory.output,
        directory.unreadable, directory.manifest.path, directory.path / ".lock",
    ):  # fmt: skip
        file.unlink(missing_ok=True)
    for folder in (directory.tensorboard, directory.csv, directory.wandb, directory.dynamics):
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        directory.config.parent.rmdir()
        directory.path.rmdir()


def _refuse_another_run(directory: RunDirectory, cfg: DictConfig) -> None:
    if not directory.config.is_file():
        if directory.manifest.exists():
            raise InputError(f"{directory.config} is missing: choose another name=")
        raise _no_run(directory)
    directory.manifest.check(directory.overrides)
    other = directory.read_config()
    if config_hash(other) != config_hash(cfg):
        changed = "; ".join(differences(cfg, other))
        raise InputError(
            f"{directory.path} holds another run ({changed}), and nothing was changed there: "
            "choose another name="
        )
    _refuse_other_versions(directory)


def _refuse_other_versions(directory: RunDirectory) -> None:
    """Refuse to continue or return a run that other versions computed."""
    if not directory.manifest.exists():
        raise InputError(
            f"{directory.manifest.path} is missing: the file was removed, or an earlier version of "
            "labelnoise wrote the run: choose another name=, or write rerun=true to compute it "
            "again"
        )
    changed = changed_versions(directory.manifest.section("versions"), versions())
    if changed:
        raise InputError(
            f"{directory.path} was computed with {', '.join(changed)}: choose another name=, or "
            "write rerun=true to compute it again"
        )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
