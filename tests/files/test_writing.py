from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from labelnoise.files.writing import (
    content_of,
    listing_of,
    part_of,
    process_exists,
    remove_parts,
    replacing,
    write_arrays,
    write_json,
)


def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError), replacing(path, "w") as file:
        file.write("half")
        raise RuntimeError
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_by_the_file_that_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "big.npz"
    with pytest.raises(OSError, match="No space left on device.*big.npz"), replacing(path) as file:
        os.unlink(file.name)
        with open("/dev/full", "wb", buffering=0) as full:
            os.dup2(full.fileno(), file.fileno())
            file.write(bytes(100_000))
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_has_ended_does_not_count() -> None:
    assert process_exists(os.getpid())
    ended = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert ended.stdout is not None
    ended.stdout.read()  # until its end; its status is not asked for
    ended.stdout.close()
    while process_exists(ended.pid):
        time.sleep(0.01)
    ended.wait()


def test_unfinished_files_of_ended_processes_are_removed(tmp_path: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from labelnoise.files.writing import replacing
with replacing(Path({str(tmp_path / "x.npz")!r})) as file:
    file.write(b"half"); file.flush(); os._exit(9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = tmp_path.iterdir()
    other = left.with_name(left.name.replace(".x.npz.", ".x.npz.elsewhere-"))
    other.write_text("another machine's")
    alive = part_of(tmp_path / "y.npz")
    alive = alive.with_name(alive.name.replace(f"-{os.getpid()}.", f"-{os.getppid()}."))
    alive.write_text("a living process's")
    remove_parts(tmp_path)
    assert set(tmp_path.iterdir()) == {other, alive}


def test_arrays_hold_no_pickle(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_arrays(tmp_path / "a.npz", {"x": np.array([None])})
    assert list(tmp_path.iterdir()) == []


def test_fingerprints_follow_contents_and_listings(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    assert content_of(a, b) is None
    b.write_text("2")
    before, listed = content_of(a, b), listing_of(tmp_path, ["a", "b"])
    assert before != content_of(b, a)
    os.utime(a, ns=(0, 0))
    assert content_of(a, b) == before and listing_of(tmp_path, ["a", "b"]) != listed
    b.write_text("3")
    assert content_of(a, b) != before
