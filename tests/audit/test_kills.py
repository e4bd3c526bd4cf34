"""A killed audit leaves no process, and continues with the same results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from labelnoise.audit.audit import audit
from labelnoise.audit.config import compose
from labelnoise.audit.directory import AuditDirectory
from labelnoise.errors import InputError
from labelnoise.run_directory import RunDirectory
from tests.audit.test_folds import WORDS, timeless

MORE = [
    *(word for word in WORDS if not word.startswith(("folds=", "max_epochs="))),
    "folds=2", "max_epochs=60", "checkpoint_every_n_steps=3", "jobs=2",
]  # fmt: skip
PROGRAM = """
import sys
from labelnoise.audit.audit import audit
from labelnoise.audit.config import compose
audit(compose(sys.argv[2:]), sys.argv[1])
"""


def until(happened: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def workers(path: Path) -> list[int]:
    """The processes that train a fold of the audit in ``path``: they hold the lock of its run."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # the process or the file is gone
            file = Path(os.readlink(link))
            if file.name == ".lock" and file.parent.parent == path:
                found.add(int(link.parts[2]))
    return sorted(found)


@pytest.mark.slow
def test_a_killed_audit_leaves_no_process_and_has_the_same_results(tmp_path: Path) -> None:
    undisturbed, path = tmp_path / "undisturbed", tmp_path / "killed"
    expected = audit(compose(MORE), undisturbed)
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(path), *MORE])
    until(lambda: any(path.glob("fold_*/checkpoints/last.ckpt")))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not AuditDirectory(RunDirectory(path)).audit.exists()
    until(lambda: not workers(path))
    found = audit(compose(MORE), path)
    assert timeless(found) == timeless(expected)
    for name in ("suspects.csv", "probabilities.npy"):
        assert (path / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.slow
def test_a_fold_that_is_killed_ends_the_audit_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), *MORE], stderr=subprocess.PIPE, text=True
    )
    until(lambda: any(path.glob("fold_*/checkpoints/last.ckpt")))
    os.kill(workers(path)[0], signal.SIGKILL)
    _, output = process.communicate()
    assert (
        process.returncode == 1
        and "was ended by signal 9: continue with the same options" in output
    )
    assert not workers(path)


@pytest.mark.slow
def test_a_signal_saves_the_folds_and_names_the_way_back(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "audit.py", *MORE, f"output_dir={tmp_path}", "name=audit"],
        stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: any((tmp_path / "audit").glob("fold_*/checkpoints/last.ckpt")))
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert process.returncode == 143
    assert "write the same command again with name=audit" in output
    assert not workers(tmp_path / "audit")


def test_the_directory_of_an_audit_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "fold_0").mkdir()
    with pytest.raises(InputError, match="is the directory of an audit: give one of its runs"):
        RunDirectory(tmp_path).read_summary()
