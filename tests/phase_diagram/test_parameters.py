"""The setting of a cell from its parameters."""

from __future__ import annotations

import pytest

from labelnoise.errors import InputError
from labelnoise.phase_diagram.grid import Axis, Grid
from labelnoise.phase_diagram.parameters import combine, setting_of
from labelnoise.theory import bounds

BASE = {
    "n": 20,
    "d": 1000,
    "m": 10,
    "xi_std": 0.5,
    "tau": 0.1,
    "n_snr_squared": 8.0,
    "theory_t1": 4.0,
    "start_scale": 0.3,
    "orthogonal": False,
}


def test_combinations_give_back_what_they_were_set_to() -> None:
    s = setting_of(BASE)
    assert bounds.n_snr_squared(s.n, s.signal_norm, s.xi_std, s.d) == pytest.approx(8)
    assert bounds.stage_one_length(s.n, s.m, s.eta, s.xi_std, s.d) == pytest.approx(4)
    assert s.sigma_0 * s.xi_std * s.d**0.5 == pytest.approx(0.3)
    assert (s.tau_plus, s.tau_minus) == (0.1, 0.1)
    assert setting_of(combine(BASE, {"snr": 0.2})).signal_norm == pytest.approx(
        0.2 * 0.5 * 1000**0.5
    )
    assert setting_of(combine(BASE, {"d_over_n": 7.5})).d == 150


def test_an_axis_takes_the_place_of_every_word_for_the_same_field() -> None:
    found = combine(BASE, {"signal_norm": 2.0, "tau_plus": 0.3, "tau_minus": 0.2})
    assert "n_snr_squared" not in found and "tau" not in found
    assert setting_of(found).signal_norm == 2.0


@pytest.mark.parametrize(
    ("base", "chosen", "message"),
    [
        ({**BASE, "signal_norm": 1.0}, {}, "n_snr_squared and signal_norm both set signal_norm"),
        (BASE, {"d": 10, "d_over_n": 2}, "d and d_over_n both set d"),
        (BASE, {"dd": 10}, "setting=dd does not exist, choose from: n, m, xi_std"),
        (BASE, {"tau_plus": 0.1}, "nothing sets tau_minus: give setting.tau or tau_minus"),
        (BASE, {"tau": 1.5}, "tau_plus must be a number from 0 to below 1, got 1.5"),
        (BASE, {"eta": -1}, "eta must be a number above 0, got -1"),
    ],
)
def test_words_that_make_no_setting_are_refused(
    base: dict[str, float], chosen: dict[str, float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        setting_of(combine(base, chosen))


def test_cells_follow_the_order_of_the_arrays() -> None:
    def axis(name: str, values: list[float]) -> Axis:
        return Axis.read(name, {"name": name, "values": values})

    grid = Grid(axis("d", [100, 200, 300]), axis("tau", [0.1, 0.2]), axis("m", [1, 2]), BASE)
    assert grid.shape == (2, 2, 3)
    found = [(s.m, s.tau_plus, s.d) for s in grid.settings()]
    assert found == [(m, t, d) for m in (1, 2) for t in (0.1, 0.2) for d in (100, 200, 300)]


def test_axes_of_whole_numbers_keep_each_once() -> None:
    words = {"name": "d", "from": 2, "to": 4, "points": 9}
    assert Axis.read("x", words).values.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": "dimension", "values": [1]}, r"x.name=dimension does not exist, choose from: n,"),
        ({"name": "d", "values": []}, "x.values must be a list of numbers"),
        (
            {"name": "d", "from": 1, "to": 2, "points": 0},
            "x.points must be .* from 1 to 100,000, got 0",
        ),
        ({"name": "d", "from": 1, "to": 2, "points": 2.5}, "x.points must be .*, got 2.5"),
        (
            {"name": "d", "from": 0, "to": 2, "points": 3, "scale": "log"},
            "x.from and x.to must be above 0 and ascend on a log axis, got 0 and 2",
        ),
        ({"name": "d", "from": "a", "to": 2, "points": 3}, "x.from must be a finite number, got a"),
        (
            {"name": "d", "values": [1], "scale": "cubic"},
            "x.scale=cubic does not exist, choose from: linear, log",
        ),
    ],
)
def test_axes_that_cannot_be_are_refused(words: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Axis.read("x", words)
