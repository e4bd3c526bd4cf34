"""Grouping of runs by setting, and the names of settings."""

from __future__ import annotations

from itertools import permutations

import pytest
from omegaconf import OmegaConf

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import compose
from labelnoise.report.tables.settings import by_setting, settings_of, technique_names
from tests.parts import resolved

PATH = "noise.path=x"


def sizes(*runs: str, compared: tuple[str, ...] = ()) -> dict[str, int]:
    """Of the groups, by name; a run is its words."""
    configs = [resolved(*words.split()) for words in runs]
    return {k: len(v) for k, v in by_setting(configs, lambda c: c, compared).items()}


def test_words_make_no_setting_and_neither_does_their_order_nor_that_of_the_runs() -> None:
    """All except the last are other command lines for the defaults with noise_rate=0.2."""
    runs = (
        "seed=0",
        "seed=1 noise_rate=0.2 name=again output_dir=elsewhere",
        "noise=symmetric noise_rate=0.20 technique=none seed=2",
        "noise_rate=0.4 seed=0",
    )
    for order in permutations(runs):
        assert sizes(*order) == {"noise_rate=0.2": 3, "noise_rate=0.4": 1}


def test_seeds_that_follow_the_seed_are_no_setting_and_one_of_its_own_is() -> None:
    assert sizes("seed=0", "seed=1", "seed=2") == {"all runs": 3}
    assert sizes("noise.seed=7 seed=0", "noise.seed=7 seed=1") == {"all runs": 2}
    runs = [f"noise.seed={own} seed={seed}" for own in (0, 1) for seed in (0, 1)]
    assert sizes(*runs) == {"noise.seed=0": 2, "noise.seed=1": 2}


def test_the_noise_rate_is_named_where_the_noise_has_it() -> None:
    assert sizes(
        "noise=symmetric noise_rate=0.1", "noise=symmetric noise_rate=0.3",
        f"noise=human {PATH} noise_rate=0.1", f"noise=human {PATH} noise_rate=0.3",
        "noise=none noise_rate=0.1", "noise=none noise_rate=0.3",
    ) == {
        "noise=symmetric noise_rate=0.1": 1, "noise=symmetric noise_rate=0.3": 1,
        "noise=human": 2, "noise=none": 2,
    }  # fmt: skip


@pytest.mark.parametrize("kind", sorted(path.stem for path in (CONF_DIR / "noise").glob("*.yaml")))
def test_every_kind_of_noise_says_whether_it_reads_the_rate(kind: str) -> None:
    mandatory = [PATH] if kind in ("human", "human_twin", "file") else []
    cfg = compose([f"noise={kind}", "noise_rate=0.37", *mandatory])
    unresolved = OmegaConf.to_container(cfg.noise, resolve=False)
    has = "noise_rate" in settings_of(resolved(f"noise={kind}", "noise_rate=0.37", *mandatory))
    assert has == ("${noise_rate}" in str(unresolved))


def test_a_rate_typed_for_the_noise_alone_is_its_own_option() -> None:
    assert sizes("noise.rate=0.3", "noise.rate=0.4") == {"noise.rate=0.3": 1, "noise.rate=0.4": 1}
    one_sided = "noise=class_conditional noise.tau_plus=0.4 noise.tau_minus=0"
    assert sizes(f"{one_sided} noise_rate=0.1", f"{one_sided} noise_rate=0.2") == {"all runs": 2}


def test_networks_of_one_class_are_told_apart_by_their_options() -> None:
    assert sizes("model=resnet18", "model=resnet34", "model=two_layer_cnn") == {
        "model=ResNet model.depth=18": 1, "model=ResNet model.depth=34": 1,
        "model=two_layer_cnn": 1,
    }  # fmt: skip


def test_techniques_are_named_with_the_options_in_which_they_differ() -> None:
    runs = ["technique=none", "technique=[elr,stochastic_reset]"]
    runs += [f"technique=gce technique.gce.q={q}" for q in (0.5, 0.7)]
    assert technique_names([resolved(*words.split()) for words in runs]) == [
        "none", "[elr,stochastic_reset]",
        "gce technique.gce.q=0.5", "gce technique.gce.q=0.7",
    ]  # fmt: skip
    assert sizes(*runs, compared=("technique",)) == {"all runs": 4}


def test_a_preset_is_a_setting_by_its_name() -> None:
    assert settings_of(resolved("technique_preset=one"))["technique_preset"] == "one"
    assert sizes("technique=elr", "technique=elr technique_preset=one") == {
        "technique_preset=none": 1, "technique_preset=one": 1,
    }  # fmt: skip


def test_equal_numbers_are_one_setting() -> None:
    assert sizes("optimizer.lr=1", "optimizer.lr=1.0", "optimizer.lr=2") == {
        "optimizer.lr=1": 2, "optimizer.lr=2": 1,
    }  # fmt: skip
