"""The documentation site: its pages of options have every option of conf/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.site.hooks import GROUPS, ROOT, options_in, options_page

CONF = ROOT / "conf"
# The rules of a preset are not options.
FILES = sorted(
    path
    for group in GROUPS
    if group != "technique_preset"
    for path in (CONF / group).glob("*.yaml")
)


def leaves(node: Any, prefix: str = "") -> set[str]:
    """The paths of the values of a file, without those that are not for users."""
    if not isinstance(node, dict) or not node:
        return {prefix[:-1]}
    return {
        path
        for key, value in node.items()
        if key not in ("_target_", "_partial_", "defaults", "hydra")
        for path in leaves(value, f"{prefix}{key}.")
    }


@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_page_has_every_option_of_a_file(file: Path) -> None:
    text = file.read_text("utf-8")
    paths = [path for path, *_ in options_in(text)]
    # An option with a mapping on one line is one row.
    missing = [
        leaf for leaf in leaves(yaml.safe_load(text) or {})
        if not any(f"{leaf}.".startswith(f"{path}.") for path in paths) and leaf
    ]  # fmt: skip
    assert not missing


def test_every_group_of_conf_has_a_place_on_the_page() -> None:
    groups = {path.name for path in CONF.iterdir() if path.is_dir()} - {"hydra"}
    assert groups == GROUPS.keys()


def test_the_page_has_the_defaults_and_the_meanings() -> None:
    page = options_page()
    assert "| `technique.elr.beta` |" in page and "| `data.per_class` |" in page
    assert "### technique=elr" in page and "momentum of the running average" in page
    assert "| `noise_rate` | `0.2` |" in page
