"""Diagrams: each cell equals a separate run, and parts survive kills and damage."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_equal

from labelnoise.config import CONF_DIR
from labelnoise.errors import InputError
from labelnoise.phase_diagram.boundaries import BOUNDARIES
from labelnoise.phase_diagram.parameters import PARAMETERS
from labelnoise.phase_diagram.quantities import QUANTITIES, Outcome
from labelnoise.phase_diagram.statistics import fit_power
from labelnoise.theory.simulation import Setting, Trajectories, geometric_steps, simulate
from labelnoise.theory.simulation.stages import stage_steps
from tests.conftest import but_slow
from tests.phase_diagram.conftest import Draw, arrays, assert_alike

DIAGRAMS = sorted(path.stem for path in (CONF_DIR / "diagram").glob("*.yaml"))
# Maps with one line, with two, and a scaling; the other diagrams are maps of other quantities.
DRAWN = ["asymmetric_map", "harm_map", "t1_scaling"]


@pytest.mark.usefixtures("no_picture")
def test_a_cell_is_what_its_setting_and_seeds_give(diagram: Draw, tmp_path: Path) -> None:
    diagram("a", "x.name=d", "x.from=10", "x.to=40", "dtype=float64", "setting.eta=0.3",
            "setting.theory_t1=null", "figure.quantity=degradation")  # fmt: skip
    found = arrays(tmp_path / "a")
    row, column = 1, 2
    d, tau = int(found["x"][column]), found["y"][row]
    setting = Setting(
        n=6, m=2, d=d, eta=0.3, tau_plus=tau, tau_minus=tau,
        signal_norm=(8 * d / 6) ** 0.5, sigma_0=0.3 / d**0.5,
    )  # fmt: skip
    runs = simulate(
        [setting] * 2, [0, 1], geometric_steps(30), test_samples=50, dtype=torch.float64
    )
    last = {name: values[-1] for name, values in runs.measures.items()}
    for name, expected in {
        "test_error": last["test_error"],
        "memorized_fraction": last["acc_noisy"],
        "gamma_max": last["gamma_max"],
        "best_test_error": runs.measures["test_error"].min(0),
    }.items():
        np.testing.assert_allclose(found[name][0, row, column], expected, rtol=1e-9, err_msg=name)


def test_what_is_written_tells_all(diagram: Draw, tmp_path: Path) -> None:
    lines = "figure.boundaries=[{name: n_snr_squared, levels: [4]}]"
    quantity = ("figure.contours=[0.1]", "figure.quantity=early_stop_gain")
    diagram("a", "panels={name: m, values: [1, 2]}", lines, *quantity)
    found = arrays(tmp_path / "a")
    assert set(QUANTITIES) < set(found)
    assert found["test_error"].shape == (2, 3, 4, 2)
    assert str(found["x_name"]) == "n_snr_squared" and found["panels"].tolist() == [1, 2]
    with (tmp_path / "a" / "diagram.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    row = rows[17]
    mean = found["test_error"][1, 1, 1].mean()
    assert (float(row["m"]), float(row["tau"])) == (2, found["y"][1])
    assert float(row["test_error_mean"]) == pytest.approx(mean)
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert manifest["config"]["seeds"] == 2 and manifest["versions"]["labelnoise"]
    assert (tmp_path / "a" / "figures" / "early_stop_gain.png").stat().st_size > 10_000


@pytest.mark.usefixtures("no_picture")
def test_a_damaged_part_is_computed_again_and_the_rest_is_kept(
    diagram: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diagram("whole")
    diagram("a")
    parts = sorted((tmp_path / "a" / "parts").glob("*.npz"))
    assert len(parts) == 6
    parts[1].unlink()
    parts[2].write_bytes(parts[2].read_bytes()[:100])
    content = bytearray(parts[3].read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 200):  # more than a header
        content[place] ^= 0xFF
    parts[3].write_bytes(content)
    parts[5].write_bytes(parts[4].read_bytes())
    kept = parts[0].stat().st_mtime_ns
    diagram("a")
    said = "".join(capsys.readouterr().err.split())  # lines end where the terminal is full
    assert said.count("computedagain") == 3
    assert "00005.npzholdspart4" in said
    assert parts[0].stat().st_mtime_ns == kept
    assert_alike(tmp_path / "a", tmp_path / "whole")


@pytest.mark.usefixtures("no_picture")
def test_a_damaged_or_missing_manifest_is_named(diagram: Draw, tmp_path: Path) -> None:
    diagram("a")
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"seeds": 2', '"seeds": 3'))
    damaged = "a/manifest.json is damaged or not of a diagram: choose another name="
    with pytest.raises(InputError, match=damaged):
        diagram("a")
    manifest.unlink()
    with pytest.raises(InputError, match=r"because .*a/manifest.json is missing"):
        diagram("a")


@pytest.mark.usefixtures("no_picture")
def test_parts_of_another_version_are_not_mixed_in(
    diagram: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diagram("a")
    monkeypatch.setattr("labelnoise.__version__", "9.9")
    with pytest.raises(InputError, match="labelnoise 9.9 instead of 0.1.0.*choose another name"):
        diagram("a")


@pytest.mark.usefixtures("no_picture")
def test_blocks_in_any_order_are_the_whole(diagram: Draw, tmp_path: Path) -> None:
    diagram("whole")
    for block in (2, 0, 1):
        assert not (tmp_path / "a" / "diagram.npz").exists()
        diagram("a", "blocks=3", f"block={block}")
    assert_alike(tmp_path / "a", tmp_path / "whole")


@pytest.mark.slow
def test_parts_from_other_machines_are_joined(diagram: Draw, tmp_path: Path) -> None:
    diagram("whole")
    diagram("one", "blocks=2", "block=0")
    diagram("two", "blocks=2", "block=1")
    outcome = diagram("all", f"merge=[{tmp_path / 'one'},{tmp_path / 'two'}]")
    assert outcome["cells"] == 12
    assert_alike(tmp_path / "all", tmp_path / "whole")
    with pytest.raises(InputError, match="holds another diagram.*seeds: 3 instead of 2"):
        diagram("other", "seeds=3", f"merge=[{tmp_path / 'one'}]")


@pytest.mark.usefixtures("no_picture")
def test_another_diagram_of_the_same_name_is_refused(diagram: Draw, tmp_path: Path) -> None:
    diagram("a")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    with pytest.raises(InputError, match=r"holds another diagram.*steps: 31 instead of 30"):
        diagram("a", "steps=31")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")} == before


@pytest.mark.usefixtures("no_picture")
def test_a_number_is_the_same_however_it_is_spelled(diagram: Draw, tmp_path: Path) -> None:
    diagram("a", "x.to=32", "setting.xi_std=1")
    part = tmp_path / "a" / "parts" / "00000.npz"
    before = part.stat().st_mtime_ns
    diagram("a", "x.to=32.0", "setting.xi_std=1.0")
    assert part.stat().st_mtime_ns == before


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("words", ["merge=[/nowhere]", "setting.theory_t1=1e-300", "setting.n=1e4"])
def test_what_could_not_begin_leaves_nothing(diagram: Draw, tmp_path: Path, words: str) -> None:
    with pytest.raises(InputError):
        diagram("a", words, "memory_limit_mb=9")
    assert not (tmp_path / "a").exists()
    diagram("a")


def test_the_picture_may_change_without_computing(diagram: Draw, tmp_path: Path) -> None:
    diagram("a", "test_at=all")  # without the word, the next ones take what is there
    written = (tmp_path / "a" / "parts" / "00000.npz").stat().st_mtime_ns
    diagram("a", "figure.quantity=stage_one_end", "memory_limit_mb=9")
    assert (tmp_path / "a" / "parts" / "00000.npz").stat().st_mtime_ns == written
    assert (tmp_path / "a" / "figures" / "stage_one_end.png").is_file()


def test_one_cell_is_a_diagram_too(diagram: Draw, tmp_path: Path) -> None:
    outcome = diagram("a", "x.points=1", "y.points=1", "figure.contours=[0.1]", "seeds=1")
    assert outcome["cells"] == 1
    assert (tmp_path / "a" / "figures" / "test_error.png").is_file()


@pytest.mark.usefixtures("no_picture")
def test_n_may_be_an_axis(diagram: Draw, tmp_path: Path) -> None:
    diagram("a", "x={name: n, values: [3, 5, 8]}")
    assert np.isfinite(arrays(tmp_path / "a")["test_error"]).all()


@pytest.mark.parametrize("name", but_slow(*DRAWN, *(n for n in DIAGRAMS if n not in DRAWN), fast=3))
def test_every_diagram_can_be_drawn(diagram: Draw, tmp_path: Path, name: str) -> None:
    few = ["x.from=200", "x.to=2000", "panels.values=[10,20]", "setting.n=null", "setting.eta=0.02"]
    words = few if name == "t1_scaling" else []
    diagram("a", f"diagram={name}", *words, "steps=60", "seeds=2")
    assert list((tmp_path / "a" / "figures").glob("*.png"))


def test_a_lead_that_still_grows_has_no_end_of_stage_one() -> None:
    measures = {
        "gamma_max": np.array([[0, 0], [3, 3], [4, 4]]),
        "rho_max_clean": np.array([[0, 0], [1, 1], [2, 1]]),
        "rho_max_noisy": np.array([[0, 0], [1, 1], [3, 1]]),
        "acc_clean": np.ones((3, 2)),
        "acc_noisy": np.array([[0, 0], [0, 0], [1, 1]]),
    }
    trajectories = Trajectories(np.array([0, 10, 20]), measures)
    outcome = Outcome(trajectories, [], stage_steps(trajectories))
    assert_equal(QUANTITIES["stage_one_end"].value(outcome), [10, np.nan])
    assert_equal(QUANTITIES["stage_two_length"].value(outcome), [10, np.nan])


def test_the_help_page_names_all_there_is() -> None:
    page = (CONF_DIR / "hydra" / "help" / "phase_diagram.yaml").read_text()
    for name in (*DIAGRAMS, *PARAMETERS, *QUANTITIES, *BOUNDARIES):
        assert name in page, name


def test_a_power_law_is_found_with_its_interval() -> None:
    rng = np.random.default_rng(0)
    x = np.geomspace(1, 1e4, 20)
    y = 2.5 * x[:, None] ** 0.9 * np.exp(0.1 * rng.standard_normal((20, 8)))
    y[-1, 0] = np.nan  # a run that had not come so far: its cell says nothing
    fit = fit_power(x, y)
    assert fit.low < 0.9 < fit.high and fit.high - fit.low < 0.05
    assert fit.factor == pytest.approx(2.5, rel=0.1)
    with pytest.raises(InputError, match="three cells at different x"):
        fit_power(x, np.full_like(y, np.nan))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x.points=0"], "x.points must be a whole number from 1 to 100,000, got 0"),
        (["x.name=dd"], "x.name=dd does not exist, choose from: n, m"),
        (["x.name=tau"], "the axes are tau, tau: choose different parameters"),
        (["x.name=signal_norm", "y.name=snr"], "snr and signal_norm both set signal_norm"),
        (["figure.quantity=error"], "figure.quantity=error does not exist, choose from: test_e"),
        (["figure.kind=pie"], "figure.kind=pie does not exist, choose from: map, scaling"),
        (["x=null"], "x must be as {name: d, values: .*, got None"),
        (["panels=d"], "panels must be as {name: d, values: .*, got d"),
        (["panels={name: d}"], "panels must be as {name: d, values: .*, got {'name': 'd'}"),
        (["panels={values: [1]}"], "panels.name=None does not exist, choose from: n, m"),
        (["x.values=5"], r"x.values must be a list of numbers as \[1,2.5\], got 5"),
        (["x.values=[[1]]"], r"x.values must be a finite number, got \[1\]"),
        (["x.values=[nan]"], "x.values must be a finite number, got nan"),
        (["x.values=[true]"], "x.values must be a finite number, got True"),
        (["x.from=[1]"], r"x.from must be a finite number, got \[1\]"),
        (["x.from=4", "x.to=2", "x.scale=linear"], "x.from and x.to must ascend on a linear axis"),
        (["x.points=true"], "x.points must be a whole number from 1 to 100,000, got True"),
        (["x.points=1000000000000"], "x.points must be a whole number from 1 to 100,000, got 1000"),
        (
            ["x.points=20000", "y.points=20000"],
            "the axes make 400,000,000 cells, at most 10,000,000",
        ),
        (["+x.foo=1"], "x.foo does not exist, x has: name, values, from, to, points, scale"),
        (["setting=null"], "setting must be as {n: 20, .*, got None"),
        (["setting.n=nan"], "setting.n must be a finite number, got nan"),
        (["setting.n=[1]"], r"setting.n must be a finite number, got \[1\]"),
        (["setting.n=1e30"], r"n can be up to 100000, but setting.n=1e\+30 makes it 1e\+30"),
        (["setting.d=1e30"], r"d can be up to 1e\+15, but setting.d=1e\+30 makes it 1e\+30"),
        (["setting.orthogonal=7"], "orthogonal must be true or false, got 7"),
        (["setting.m=true"], "setting.m must be a finite number, got True"),
        (["setting.theory_t1=0"], "theory_t1 must be a number above 0, got 0"),
        (["setting.theory_t1=1e-300"], "runs have diverged: lower the learning rate"),
        (["setting.start_scale=-1"], "start_scale must be a number of at least 0, got -1"),
        (["figure=null"], "figure must be as {quantity: test_error, .*, got None"),
        (["figure.kind=[map]"], r"figure.kind=\['map'\] does not exist, choose from: map, scaling"),
        (["figure.contours=wide"], "figure.contours must be a list of numbers as .*, got wide"),
        (["figure.contours=[nan]"], "figure.contours must be a finite number, got nan"),
        (["figure.boundaries=snr"], r"boundaries must be a list as \[{name: .*, or null, got snr"),
        (
            ["figure.boundaries=[snr]"],
            "figure.boundaries must be as {name: n_snr_squared, .*, got snr",
        ),
        (
            ["figure.boundaries=[{name: snr, levels: [1]}]"],
            "boundaries.name=snr does not exist, ch",
        ),
        (
            ["figure.boundaries=[{name: theory_t1, levels: 1}]"],
            "boundaries.levels must be a list of",
        ),
        (["figure.kind=scaling"], "figure.against=None does not exist, choose from: n_snr_squared"),
        (
            ["figure.kind=scaling", "figure.against=theory_t1"],
            "needs three values of figure.against=theory_t1, but the axes give 1 in a panel",
        ),
        (
            ["figure.kind=scaling", "figure.against=stage_two_floor"],
            "figure.against=stage_two_floor does not exist",
        ),
        (["test_at=end", "figure.quantity=degradation"], "degradation needs test_at=all, got end"),
        (["test_at=often"], "test_at must be one of none, end, all, got often"),
        (["seeds=0"], "seeds must be a whole number from 1 to 1,000,000, got 0"),
        (["steps=0"], "steps must be a whole number of at least 1, got 0"),
        (["dtype=float16"], "dtype must be one of float32, float64, got float16"),
        (["block=3", "blocks=3"], "block must be a whole number from 0 to 2, got 3"),
        (["memory_limit_mb=0"], "memory_limit_mb must be a number above 0, got 0"),
        (
            ["memory_limit_mb=inf"],
            "memory_limit_mb must be a number above 0 and at most 10,000,000, got inf",
        ),
        (
            ["memory_limit_mb=1", "setting.n=400"],
            r"takes [\d.]+ MB but the memory limit is 1 MB: write",
        ),
        (
            ["setting.eta=abc", "setting.theory_t1=null"],
            "setting.eta must be a finite number, got a",
        ),
        (["setting.eta=0.1"], "eta and theory_t1 both set eta"),
        (["x.from=5", "x.to=5", "x.values=null", "x.points=3"], "x.from and x.to are both 5: wri"),
        (["y.to=1.5"], "tau_plus must be a number from 0 to below 1"),
        (["device=tpu"], "device must be"),
        (["merge=[nowhere]"], "merge: nowhere holds no diagram"),
        (["merge=nowhere"], "merge must be a list of directories as .*, got nowhere"),
        (["merge=[5]"], r"merge must be a list of directories as .*, got \[5\]"),
    ],
)
def test_bad_input_is_refused(diagram: Draw, words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        diagram("a", *words)
