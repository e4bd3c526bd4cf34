"""Free memory, with and without a container's limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from labelnoise.data.memory import check_fits
from labelnoise.errors import InputError
from labelnoise.processes import memory


def test_something_is_free_and_less_than_all_there_is() -> None:
    total = next(
        1024 * int(line.split()[1])
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemTotal")
    )
    free = memory.available_memory()
    assert free is not None
    assert 2**20 < free <= total


@pytest.mark.parametrize("names", memory._CGROUP_FILES)
def test_a_containers_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str, str]
) -> None:
    limit, used, cache = names
    outer, inner = tmp_path, tmp_path / "inner"
    inner.mkdir()
    for folder, values in ((outer, ("9000", "8000")), (inner, ("max", "5000"))):
        (folder / limit).write_text(values[0])
        (folder / used).write_text(values[1])
        (folder / "memory.stat").write_text(f"anon 1\n{cache} 300\n")
    monkeypatch.setattr(memory, "_cgroups", lambda: [inner, outer])
    assert memory.available_memory() == 1300


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelnoise.data.memory.available_memory", lambda: 1000)
    line = check_fits(1000, "5 images", "write fewer")
    assert line == "5 images take 1 kB of memory, 1 kB are free"
    with pytest.raises(
        InputError, match="5 images take 1 kB of memory but only 1 kB are free: write"
    ):
        check_fits(1001, "5 images", "write fewer")
    monkeypatch.setattr("labelnoise.data.memory.available_memory", lambda: None)
    assert check_fits(10**18, "5 images", "") == "5 images take 1000000 TB of memory"
