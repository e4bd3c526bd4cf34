"""The results of a command, read from its folder, without those that depend on the time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from labelnoise.sweeps.status import state_of
from labelnoise.sweeps.study import JOURNAL, open_journal, pruner_of

# Files and folders that are not compared, by name, each with the reason.
NOT_COMPARED = {
    "run.log": "has the times and the number of attempts",
    "output.log": "has the output of every attempt",
    "tensorboard": "has times and the name of the host",
    "last.ckpt": "is not read after the end of a run; selected.ckpt is compared",
    "previous.ckpt": "exists only before the end of a run",
    ".hydra/hydra.yaml": "is Hydra's own, and has the working directory",
}
# The values that are not compared in the files that have them, each with the reason.
TIMES = {"seconds": "is the duration of the last attempt"}


def results(run: Path) -> dict[str, Any]:
    """The results in the folder of a command, by file, with OUTPUT for its output_dir."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_file() and not _is_left_out(name):
            reader = READERS.get(path.name, _content)
            try:
                value = reader(path, run.parent.name)
            except Exception as error:
                value = f"cannot be read: {error!r}"
            if value is not None:
                found[name] = value
    return found


def different(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The files in which two results differ."""
    return sorted(name for name in one.keys() | other if one.get(name) != other.get(name))


def _is_left_out(name: str) -> bool:
    words = set(name.split("/")) | {name[name.find(".hydra") :]}
    return bool(words & NOT_COMPARED.keys()) or name.endswith(".lock")


def _content(path: Path, output: str) -> bytes:
    return path.read_bytes().replace(output.encode(), b"OUTPUT")


def _json(path: Path, output: str) -> dict[str, Any]:
    """JSON without times."""
    found = json.loads(_content(path, output))
    return {key: value for key, value in found.items() if key not in TIMES}


def _manifest(path: Path, output: str) -> dict[str, Any] | None:
    """The manifest of a diagram; that of a run has checksums of files with times."""
    found = _json(path, output)
    return None if "files" in found else {k: v for k, v in found.items() if k != "sha256"}


def _table(path: Path, output: str) -> list[dict[str, str]]:
    """A table of runs without times."""
    rows = csv.DictReader(io.StringIO(_content(path, output).decode()))
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def _weights(path: Path, output: str) -> dict[str, bytes]:
    weights = torch.load(path, weights_only=True)["state_dict"]
    return {name: value.numpy().tobytes() for name, value in weights.items()}


def _state(path: Path, output: str) -> list[tuple[Any, ...]]:
    """The state of a sweep; its ledger has times, hosts, processes and a line for each attempt."""
    keys = ("job", "status", "score", "score_name", "config_hash")
    return sorted(tuple(job.get(key) for key in keys) for job in state_of(path.parent).jobs)


def _trials(path: Path, output: str) -> list[tuple[Any, ...]]:
    """The trials of a search; its journal has times."""
    study = open_journal(path.parent, "maximize", pruner_of("none"))
    return [(t.number, t.state.name, t.params, t.value) for t in study.trials]


READERS: dict[str, Callable[[Path, str], Any]] = {
    "summary.json": _json,
    "audit.json": _json,
    "manifest.json": _manifest,
    "runs.csv": _table,
    "selected.ckpt": _weights,
    "ledger.jsonl": _state,
    JOURNAL: _trials,
}
