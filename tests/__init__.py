"""Tests, and the check of shapes and types that pyproject.toml switches on for them."""

from beartype import BeartypeConf, beartype

# The numeric tower lets an int pass as a float, as mypy does.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
