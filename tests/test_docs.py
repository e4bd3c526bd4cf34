"""Pages that are made from the code, or list what it has, are up to date."""

from __future__ import annotations

import pytest

from docs.make_techniques import PAGE, all_techniques, combinations, page
from labelnoise.config import CONF_DIR

NAMES = sorted(path.stem for path in (CONF_DIR / "technique").glob("*.yaml") if path.stem != "none")


def test_the_table_of_combinations_is_that_of_the_code() -> None:
    text = PAGE.read_text()
    assert page(text, combinations(all_techniques())) == text, "run docs/make_techniques.py"


@pytest.mark.parametrize("name", NAMES)
def test_every_technique_has_a_row(name: str) -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{name}`" in row.split("|")[1] for row in rows)
