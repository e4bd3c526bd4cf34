"""Pages that are generated from the code, or list its parts, are up to date."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from docs.make_figures import MEASURED, RECIPES, ROOT, insert, numbers, table
from docs.make_techniques import PAGE, add_rows, all_techniques, page
from labelnoise.audit.config import register_schema as register_audit
from labelnoise.config import CONF_DIR
from labelnoise.config.composition import compose, register_schema
from labelnoise.phase_diagram.config import register_schema as register_phase_diagram
from labelnoise.sweeps.crews import check
from labelnoise.training.train import train

# Drawn by commands with options of their own, which docs/results.md and docs/own_data.md name.
BY_HAND = {"attribution", "audit_reliability", "human_and_twin"}
NAMES = sorted(path.stem for path in (CONF_DIR / "technique").glob("*.yaml") if path.stem != "none")


def test_what_the_page_of_techniques_derives_is_that_of_the_code() -> None:
    text = PAGE.read_text()
    assert page(text) == text, "run docs/make_techniques.py"


def test_a_technique_without_a_row_gets_one_from_its_file() -> None:
    lines = PAGE.read_text().splitlines(keepends=True)
    techniques = all_techniques()
    without = "".join(line for line in lines if not line.startswith("| `tcr`"))
    (added,) = set(add_rows(without, techniques).splitlines()) - set(without.splitlines())
    cells = [cell.strip() for cell in added.strip("|").split("|")]
    assert cells[0] == "`tcr`" and cells[1] and cells[2:] == ["its file", "nothing", "not measured"]
    assert "python run.py" not in added
    whole = "".join(lines)
    assert add_rows(whole, techniques) == whole


@pytest.mark.parametrize("name", NAMES)
def test_every_technique_has_a_row(name: str) -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{name}`" in row.split("|")[1] for row in rows)


@pytest.mark.parametrize("name", [n for n, recipe in RECIPES.items() if recipe.rows])
def test_tables_hold_what_was_measured(name: str) -> None:
    recipe, measured = RECIPES[name], json.loads(MEASURED.read_text())
    text = (ROOT / recipe.page).read_text()
    assert insert(text, name, table(recipe, measured[name])) == text, "run docs/make_figures.py"


def test_every_figure_has_a_command() -> None:
    drawn = {figure for recipe in RECIPES.values() for figure in recipe.figures}
    there = {path.stem for path in (ROOT / "docs" / "figures").glob("*.png")}
    assert there - drawn == BY_HAND


@pytest.mark.slow
@pytest.mark.parametrize("technique", ["none", "early_stop", "sample_selection"])
def test_what_was_measured_is_what_the_command_gives(technique: str, tmp_path: Path) -> None:
    """Seed 0 of the README's first table, by its own command."""
    recipe = RECIPES["stages"]
    words = [f"technique={technique}", "seed=0", "logger=none", "trainer.enable_progress_bar=false"]
    summary = train(compose(words), tmp_path / "run")
    measured = json.loads(MEASURED.read_text())["stages"][technique]
    found = numbers(recipe, [summary])[technique]
    for name, (value,) in found.items():
        # Another processor rounds otherwise: a step may move to the next measurement.
        assert measured[name][0] == (value and pytest.approx(value, rel=0.07, abs=0.1)), name


def commands_of(page: str) -> list[list[str]]:
    """The commands in the blocks of a page, without comments."""
    blocks = (ROOT / page).read_text().split("```")[1::2]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_the_commands_for_clusters_compose() -> None:
    configs = {"run.py": "config", "audit.py": "audit", "phase_diagram.py": "phase_diagram"}
    for register in (register_schema, register_audit, register_phase_diagram):
        register()
    seen = set()
    for words in commands_of("docs/clusters.md"):
        if words[0] != "python" or words[1] not in configs:
            continue
        assert words[2] == "-m"
        seen.add(words[1])
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            sweep = loader.load_configuration(
                configs[words[1]], words[3:], run_mode=RunMode.MULTIRUN
            )
            options = {k: v for k, v in sweep.hydra.launcher.items() if k != "_target_"}
        check(options)
    assert seen == configs.keys()


def test_the_options_of_the_launchers_are_on_the_page() -> None:
    text = (ROOT / "docs" / "clusters.md").read_text()
    for name in ("slurm", "slurm_local", "ray"):
        file = CONF_DIR / "hydra" / "launcher" / f"{name}.yaml"
        options = [line.split(":")[0] for line in file.read_text().splitlines() if ":" in line]
        for option in options:
            assert option.startswith(("#", "_target_")) or option in text, option
