"""The ledger of a sweep, and the state that is read from it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from omegaconf import DictConfig

from labelnoise.errors import InputError
from labelnoise.processes.interrupts import Interrupted
from labelnoise.run_directory import claim
from labelnoise.sweeps.jobs import train_in_sweep
from labelnoise.sweeps.ledger import Event, append, host, ledger_of, read_events, recorded
from labelnoise.sweeps.status import newest_sweep, report_status, state_of

EARLY, LATE = "2026-01-01T00:00:00.000+00:00", "2026-01-01T00:00:10.000+00:00"


def event(job: int, status: str, **more: object) -> Event:
    words = ["name=a", f"seed={job}"]
    return {
        "job": job, "config_hash": f"hash{job}", "overrides": words, "host": host(),
        "pid": os.getpid(), "start": EARLY, "status": status, **more,
    }  # fmt: skip


def finished(job: int, score: float, **more: object) -> Event:
    return event(job, "finished", end=LATE, score=score, score_name="val_acc", **more)


def test_a_job_writes_its_start_and_its_end(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    cfg = tiny_config("max_steps=20")
    summary = train_in_sweep(cfg, tmp_path / "0", ["seed=0"])
    train_in_sweep(cfg, tmp_path / "0", ["seed=0"])
    first, second, third = read_events(tmp_path)[0]
    assert (first["status"], second["status"], third["status"]) == ("started", *["finished"] * 2)
    assert second["config_hash"] == summary["config_hash"]  # type: ignore[index]
    assert second["score"] == summary["final"]["val/acc"]  # type: ignore[index]
    assert second["pid"] == os.getpid() and second["host"] == host()
    assert (second["job"], second["overrides"], second["read"]) == (0, ["seed=0"], False)
    assert second["peak_mb"] > 50
    assert datetime.fromisoformat(second["start"]) <= datetime.fromisoformat(second["end"])
    assert third["read"]
    with claim(tmp_path / "1", tiny_config("seed=1"), []):
        train_in_sweep(tiny_config("seed=1"), tmp_path / "1", [])
    assert [e["status"] for e in read_events(tmp_path)[0][3:]] == ["started", "left"]
    assert state_of(tmp_path).counts() == "1 finished"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (RuntimeError("of\nour own"), "failed", "of our own"),
        (SystemExit(3), "failed", "the job called sys.exit(3)"),
        (Interrupted(15), "interrupted", "stopped before its end"),
    ],
)
def test_a_job_that_fails_writes_the_reason(
    tmp_path: Path, error: BaseException, status: str, reason: str
) -> None:
    with pytest.raises(type(error)), recorded(tmp_path / "4", "hash", ["seed=4"]):
        raise error
    last = read_events(tmp_path)[0][-1]
    assert (last["job"], last["status"], last["reason"]) == (4, status, reason)


def test_a_line_that_is_cut_off_costs_itself_alone(tmp_path: Path) -> None:
    append(tmp_path, finished(0, 0.5))
    whole = ledger_of(tmp_path).read_bytes()
    with ledger_of(tmp_path).open("ab") as file:
        file.write(whole[: len(whole) // 2])
    append(tmp_path, finished(1, 0.7))
    with ledger_of(tmp_path).open("ab") as file:
        file.write(b'[3]\n\xff\n{"status": "started"}\n')
    assert [e["job"] for e in read_events(tmp_path)[0]] == [0, 1]
    assert "4 lines of" in report_status(tmp_path)


def test_a_line_with_another_letter_is_not_read(tmp_path: Path) -> None:
    append(tmp_path, finished(0, 0.5))
    append(tmp_path, finished(1, 0.7))
    ledger = ledger_of(tmp_path)
    ledger.write_text(ledger.read_text().replace("0.7", "0.9").replace("hash0", "hash1"))
    assert read_events(tmp_path) == ([], 2)


def test_the_state_of_a_running_sweep(tmp_path: Path) -> None:
    append(tmp_path, event(9, "failed", reason="of an earlier call", end=EARLY))
    append(tmp_path, finished(7, 0.1))
    append(tmp_path, {"status": "sweep", "jobs": 10, "at_once": 2, "start": EARLY})
    append(tmp_path, finished(7, 0.1, read=True, start=LATE))
    for each in (finished(0, 0.5), finished(1, 0.75), event(2, "started")):
        append(tmp_path, each)
    append(tmp_path, event(3, "failed", reason="a reason", end=LATE))
    append(tmp_path, event(4, "started", pid=2**22 + 1))
    state = state_of(tmp_path)
    assert state.counts() == "3 finished, 1 failed, 1 killed, 1 running, 4 waiting"
    # 10 s a job: 4 waiting ones, and 4 s of the running one, 2 at a time.
    assert state.seconds_left(datetime(2026, 1, 1, 0, 0, 6, tzinfo=UTC)) == (4 * 10 + 4) / 2
    text = report_status(tmp_path)
    assert "best val_acc: 0.75, job 1 (seed=1)" in text
    assert "job 3 failed: a reason (seed=3)" in text
    assert "job 4 killed: its process does not exist any more" in text
    assert "earlier" not in text


def test_the_best_loss_is_the_lowest(tmp_path: Path) -> None:
    for job, loss in enumerate((0.5, 0.2, 0.9)):
        append(tmp_path, finished(job, loss) | {"score_name": "val_loss"})
    assert "best val_loss: 0.2, job 1 (seed=1)" in report_status(tmp_path)


def test_the_newest_sweep_is_found(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no sweep"):
        newest_sweep(tmp_path)
    with pytest.raises(InputError, match="is not the folder of a sweep"):
        state_of(tmp_path)
    for number, name in enumerate(("b", "a")):
        (tmp_path / name).mkdir()
        append(tmp_path / name, finished(0, 1))
        os.utime(ledger_of(tmp_path / name), (number, number))
    assert newest_sweep(tmp_path) == tmp_path / "a"
