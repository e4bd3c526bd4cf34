from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelnoise.errors import InputError
from labelnoise.techniques import DAL
from labelnoise.techniques.dal import dal_schedule
from tests.conftest import Run
from tests.techniques.conftest import Step


@given(st.floats(0.1, 0.99), st.floats(1.01, 3), st.integers(0, 150))
def test_the_schedule_is_the_papers(q_start: float, q_end: float, t: int) -> None:
    T = 150
    t0 = (1 - q_start) * T / (q_end - q_start)
    q, weight = dal_schedule(t / T, q_start, q_end)
    assert q == pytest.approx(q_start + (q_end - q_start) * t / T)
    assert weight == pytest.approx(max(0.0, (t - t0) / (T - t0)), abs=1e-9)


def test_entropy_never_counts_where_q_stays_below_1() -> None:
    assert [dal_schedule(t / 4, 0.2, 1.0)[1] for t in range(5)] == [0.0] * 5
    assert [dal_schedule(t / 4, 0.2, 0.8)[1] for t in range(5)] == [0.0] * 5


def test_every_step_trains_on_its_own_q(run_tiny: Run, steps: list[Step]) -> None:
    summary = run_tiny("technique=dal", "batch_size=6")
    for step in steps:
        q = 0.6 + 0.9 * step.number / 60
        weight = max(0.0, (q - 1) / 0.5)
        total = 0.0
        for y, z in zip(step.batch.label.tolist(), step.logits.tolist(), strict=True):
            p = [1 / (1 + math.exp(z[1 - k] - z[k])) for k in (0, 1)]
            entropy = -sum(value * math.log(value) for value in p)
            total += (1 - p[y] ** q) / q + weight * entropy / (q * math.log(2))
        assert step.loss == pytest.approx(total / len(step.batch.index), abs=1e-5)
    last = summary["techniques"]["dal"]
    assert last == pytest.approx({"q": 0.6 + 0.9 * 59 / 60, "entropy_weight": 0.97})


def test_its_first_step_is_that_of_gce(run_tiny: Run) -> None:
    dal = run_tiny("technique=dal", "max_steps=1", name="dal")
    gce = run_tiny("technique=gce", "technique.gce.q=0.6", "max_steps=1", name="gce")
    assert dal["final"] == gce["final"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"q_start": 0.0}, "technique.dal.q_start must be a number above 0 and at most 1, got 0.0"),
        ({"q_start": 1.1}, "technique.dal.q_start must be a number above 0 and at most 1, got 1.1"),
        ({"q_end": 0.6}, "technique.dal.q_end must be a number above 0.6, got 0.6"),
        ({"q_end": math.inf}, "technique.dal.q_end must be a number above 0.6 and finite, got inf"),
    ],
)
def test_bad_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DAL(**options)
