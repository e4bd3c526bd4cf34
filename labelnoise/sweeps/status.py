"""The state of a sweep, from its ledger: counts, time left, failures and the best score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from labelnoise.config.score import SCORES
from labelnoise.errors import InputError
from labelnoise.files.writing import process_exists
from labelnoise.sweeps.ledger import FINAL, Event, host, ledger_of, now, read_events


@dataclass(frozen=True)
class State:
    """The state of the jobs of a sweep.

    Attributes:
        jobs: the last event of each job. Jobs from before the last start of the sweep are in the
            list only if they are finished or still running.
        waiting: the number of jobs that have not started; None if the ledger does not have it.
        at_once: the number of jobs that run at the same time; None if the ledger does not have it.
        damaged: the number of lines of the ledger that cannot be read.
    """

    jobs: list[Event]
    waiting: int | None = None
    at_once: int | None = None
    damaged: int = 0

    def counts(self) -> str:
        """The number of jobs of each status, in words."""
        found = Counter(event["status"] for event in self.jobs)
        words = [f"{found[status]} {status}" for status in FINAL if found[status]]
        words += [f"{found['started']} running"] if found["started"] else []
        words += [f"{self.waiting} waiting"] if self.waiting else []
        return ", ".join(words) or "no job has started"

    def best(self) -> Event | None:
        """The job with the best score, among the jobs with the score name of the last one."""
        scored = [event for event in self.jobs if event.get("score") is not None]
        if not scored:
            return None
        name = scored[-1].get("score_name", "val_acc")
        same = [event for event in scored if event.get("score_name", "val_acc") == name]
        best = max if SCORES[name].direction == "maximize" else min
        return best(same, key=lambda event: float(event["score"]))

    def seconds_left(self, at: datetime) -> float | None:
        """The estimated time until the end, from the mean duration of the computed jobs."""
        durations = [_seconds(e, e["end"]) for e in self.jobs if _was_computed(e)]
        if not durations or self.waiting is None or not self.at_once:
            return None
        mean = sum(durations) / len(durations)
        running = [_seconds(e, at.isoformat()) for e in self.jobs if e["status"] == "started"]
        left = self.waiting * mean + sum(max(0.0, mean - each) for each in running)
        return left / self.at_once if running or self.waiting else 0.0


def state_of(sweep: Path) -> State:
    """The state of the sweep in a folder.

    Raises:
        InputError: the folder has no ledger.
    """
    if not ledger_of(sweep).is_file():
        raise InputError(
            f"{sweep} is not the folder of a sweep: it has no {ledger_of(sweep).name}; give the "
            "directory of a sweep"
        )
    events, damaged = read_events(sweep)
    starts = [i for i, event in enumerate(events) if event["status"] == "sweep"]
    before, since = (events[: starts[-1]], events[starts[-1] + 1 :]) if starts else ([], events)
    jobs = {_key(e): e for e in before if e["status"] == "finished" or _is_running(e)}
    # The events of the process that computes a job count. Others have only left or read the job.
    left = {_attempt(event) for event in since if event["status"] == "left"}
    for event in since:
        if _attempt(event) not in left and not (event.get("read") and _key(event) in jobs):
            jobs[_key(event)] = event
    seen = {_key(event) for event in since}
    found = [_ended_if_dead(event) for event in jobs.values()]
    if not starts:
        return State(found, damaged=damaged)
    start = events[starts[-1]]
    return State(found, max(0, start["jobs"] - len(seen)), start["at_once"], damaged)


def report_status(sweep: Path | None) -> str:
    """The state of a sweep in words; for None, of the newest sweep in outputs/.

    Raises:
        InputError: there is no sweep.
    """
    sweep = sweep or newest_sweep(Path("outputs"))
    state = state_of(sweep)
    lines = [f"{sweep}: {state.counts()}"]
    left = state.seconds_left(datetime.fromisoformat(now()))
    if left:
        lines.append(f"time left: about {timedelta(seconds=round(left))}")
    if best := state.best():
        lines.append(
            f"best {best.get('score_name', 'score')}: {best['score']:.4g}, job {best['job']} "
            f"({_options(best, state)})"
        )
    unfinished = [e for e in state.jobs if e["status"] in FINAL and e["status"] != "finished"]
    lines += [f"job {e['job']} {e['status']}: {e['reason']} ({_options(e, state)})"
              for e in unfinished]  # fmt: skip
    if state.damaged:
        lines.append(f"{state.damaged} lines of {ledger_of(sweep)} are cut off and were not read")
    return "\n".join(lines)


def newest_sweep(outputs: Path) -> Path:
    """The sweep with the ledger that was written last.

    Raises:
        InputError: there is none.
    """
    ledgers = sorted(outputs.rglob("ledger.jsonl"), key=lambda path: path.stat().st_mtime)
    if not ledgers:
        raise InputError(f"{outputs}/ has no sweep: give the folder of a sweep")
    return ledgers[-1].parent


def _options(event: Event, state: State) -> str:
    """The options in which the job differs from others."""
    lists: Sequence[list[str]] = [other.get("overrides") or [] for other in state.jobs]
    common = set.intersection(*map(set, lists)) if len(lists) > 1 else set()
    return " ".join(word for word in event.get("overrides") or [] if word not in common)


def _key(event: Event) -> str:
    return str(event.get("config_hash") or event.get("overrides"))


def _attempt(event: Event) -> tuple[object, ...]:
    return _key(event), event.get("host"), event.get("pid")


def _was_computed(event: Event) -> bool:
    return event["status"] == "finished" and not event.get("read")


def _seconds(event: Event, end: str) -> float:
    begin = datetime.fromisoformat(event["start"])
    return (datetime.fromisoformat(end) - begin).total_seconds()


def _ended_if_dead(event: Event) -> Event:
    """The event; for a started job on this machine without a process, its end as killed."""
    if event["status"] != "started" or event.get("host") != host() or _is_running(event):
        return event
    return event | {"status": "killed", "reason": "its process does not exist any more"}


def _is_running(event: Event) -> bool:
    """Whether the process of a started job exists on this machine."""
    here = event["status"] == "started" and event.get("host") == host()
    return here and process_exists(int(event["pid"]))
