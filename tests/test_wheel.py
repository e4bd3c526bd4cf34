"""The wheel: it holds conf/, and its console commands work without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from labelnoise.config import CONF_DIR

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("trainer=smoke", "threads=1", "figures=false", "logger=none")
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def python(*words: str, cwd: Path, path: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-P", *words], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path} if path else None,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def door(command: str, *words: str) -> tuple[str, ...]:
    """What a console command executes."""
    module, _, function = SCRIPTS[command].partition(":")
    return ("-c", f"import sys; sys.argv[0] = {command!r}; from {module} import {function}; "
            f"{function}()", *words)  # fmt: skip


@pytest.mark.slow
def test_an_installed_wheel_runs_in_any_folder(tmp_path: Path) -> None:
    build = ("build", "--wheel", "--no-isolation", f"--outdir={tmp_path}", str(ROOT))
    python("-m", *build, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if "/conf/" in name}
    files = {f"labelnoise/conf/{p.relative_to(CONF_DIR)}" for p in CONF_DIR.rglob("*.yaml")}
    assert packed == files
    site, place = tmp_path / "site", tmp_path / "place"
    place.mkdir()
    install = ("install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    python("-m", "pip", *install, cwd=tmp_path)
    assert {path.name for path in (site / "bin").iterdir()} == set(SCRIPTS)

    def run(command: str, *words: str) -> str:
        return python(*door(command, *words), cwd=place, path=str(site))

    where = python("-c", "from labelnoise.config import CONF_DIR as c; print(c)", cwd=place,
                   path=str(site))  # fmt: skip
    assert Path(where.strip()) == site / "labelnoise" / "conf"
    assert "two_layer_cnn" in run("labelnoise", "--help")
    run("labelnoise", *SMALL, "name=x")
    assert (place / "outputs" / "x" / "summary.json").is_file()
    assert "figures" in run("labelnoise-report", "figures", "outputs/x")
    run("labelnoise", "-m", *SMALL, "name=two", "seed=0,1")
    assert (place / "outputs" / "two" / "sweep.csv").is_file()
    run("labelnoise", "trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "max_steps=5",
        *SMALL[1:], "name=ranks")  # fmt: skip
    assert (place / "outputs" / "ranks" / "summary.json").is_file()
    run("labelnoise-map", "x.points=3", "y.points=3", "steps=10", "test_samples=10", "setting.n=8",
        "seeds=1", "name=map")  # fmt: skip
    assert (place / "outputs" / "map" / "diagram.npz").is_file()
