"""Jobs in processes of their own: each costs itself alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from labelnoise.config.command_line import explain
from labelnoise.processes import pool as pool_module
from labelnoise.processes.pool import Ended, Job, Pool, Started
from labelnoise.processes.worker import Report
from tests.processes import pool_jobs

Call = tuple[Callable[..., Any], tuple[Any, ...]]


def jobs(folder: Path, calls: Sequence[Call]) -> Iterator[Job]:
    for number, (function, arguments) in enumerate(calls):
        yield Job(str(number), function, arguments, folder / f"{number}.log")


def reports(
    folder: Path, calls: Sequence[Call], places: Sequence[Mapping[str, str]] = ({}, {})
) -> list[Report]:
    events = Pool(places, explain).run(jobs(folder, calls))
    found = {event.job.name: event.report for event in events if isinstance(event, Ended)}
    return [found[str(number)] for number in range(len(calls))]


def test_each_job_ends_alone_and_says_how(tmp_path: Path) -> None:
    found = reports(
        tmp_path,
        [
            (pool_jobs.finish, (0.5,)),
            (pool_jobs.fail, ()),
            (pool_jobs.refuse, ()),
            (pool_jobs.leave_python, (0,)),
            (pool_jobs.leave_at_once, ()),
            (pool_jobs.be_killed, ()),
            (pool_jobs.finish, (len,)),
            (pool_jobs.finish, (lambda: None,)),  # cannot be pickled
            (pool_jobs.oom_score, ()),
            (pool_jobs.fill_the_disk, ()),
        ],
    )
    assert [(report.status, report.value, report.reason) for report in found[:7]] == [
        ("finished", 0.5, None),
        ("failed", None, "ValueError: of our own"),
        ("failed", None, "a bad value"),
        ("failed", None, "the job called sys.exit(0)"),
        ("failed", None, "the process ended with status 0 and without a result"),
        ("killed", None, "killed by SIGKILL, as when the memory is full"),
        ("finished", len, None),
    ]
    assert found[7].status == "failed" and "cannot be started" in str(found[7].reason)
    assert found[8].value > pool_jobs.oom_score()
    assert str(found[9].reason).startswith("cannot use a.npz: No space left on device; free ")
    assert [i for i, report in enumerate(found) if report.refused] == [2, 9]
    assert [i for i, report in enumerate(found) if report.lost] == [4, 5, 7, 9]  # not their own end
    assert (tmp_path / "0.log").read_text() == "written by the job\n"
    assert "Traceback" in (tmp_path / "1.log").read_text()
    assert (tmp_path / "2.log").read_text() == "error: a bad value\n"


def test_a_job_leaves_nothing_to_the_next_one(tmp_path: Path) -> None:
    here = (None, os.getcwd(), False, False)
    calls: list[Call] = [(pool_jobs.change_the_process, ()), (pool_jobs.look_at_the_process, ())]
    assert reports(tmp_path, calls, places=[{}])[1].value == here
    one = reports(tmp_path, calls[1:], places=[{"POOL_TEST": "of the place"}])
    assert one[0].value == ("of the place", *here[1:])


def test_jobs_that_are_stopped_save_and_the_others_do_not_start(tmp_path: Path) -> None:
    saved = [tmp_path / name for name in ("a", "b", "c")]
    pool = Pool([{}, {}], explain)
    events = []
    for event in pool.run(jobs(tmp_path, [(pool_jobs.wait, (str(path),)) for path in saved])):
        events.append(event)
        if sum(isinstance(event, Started) for event in events) == 2:
            while not all(path.exists() for path in saved[:2]):
                time.sleep(0.05)
            pool.stop()
    ended = [event.report.status for event in events if isinstance(event, Ended)]
    assert ended == ["interrupted", "interrupted"]
    assert [path.read_text() for path in saved[:2]] == ["saved", "saved"]
    assert not saved[2].exists()


def test_places_are_given_on_as_soon_as_a_job_has_reported(tmp_path: Path) -> None:
    calls = [(pool_jobs.finish, (number,)) for number in range(4)]
    pool = Pool([{}], explain, overlap=True)
    events = list(pool.run(jobs(tmp_path, calls)))
    assert [event.job.name for event in events if isinstance(event, Started)] == list("0123")
    ended = {e.job.name: e.report.value for e in events if isinstance(e, Ended)}
    assert ended == {"0": 0, "1": 1, "2": 2, "3": 3}


def test_full_memory_lets_one_job_run_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "available_memory", lambda: 0)
    said: list[str] = []
    at_once, most = 0, 0
    pool = Pool([{}, {}], explain, said.append)
    for event in pool.run(jobs(tmp_path, [(pool_jobs.finish, (1,))] * 3)):
        at_once += 1 if isinstance(event, Started) else -1
        most = max(most, at_once)
    assert most == 1
    assert len(said) == 1 and "1 instead of 2 jobs at a time" in said[0]
