"""Every numeric option of every part refuses a number just outside its range, and a word."""

from __future__ import annotations

from copy import deepcopy

import pytest
from omegaconf import OmegaConf

from labelnoise.config.options import check_options
from labelnoise.errors import InputError
from tests.bad_input.generated import composed, outside, parts

# Options that also have words, which their technique checks.
WITH_WORDS = ("forget_rate", "sample_selection.noise_rate")


@pytest.mark.slow
def test_every_numeric_option_refuses_what_is_outside() -> None:
    count = 0
    for group, choice, path, allowed in parts():
        for value in (outside(allowed), "a word"):
            if value == "a word" and path.endswith(WITH_WORDS):
                continue
            cfg = deepcopy(composed(group, choice))
            OmegaConf.update(cfg, path, value)
            with pytest.raises(InputError) as raised:
                check_options(cfg, group)
            line = str(raised.value)
            assert path in line and " must be " in line and f"got {value}" in line, line
            count += 1
    assert count > 400
