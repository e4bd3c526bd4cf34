"""Presets: constants of the papers if a rule applies; the command line has priority."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from labelnoise.config import CONF_DIR
from labelnoise.config.composition import check, compose
from labelnoise.config.presets import choice_of, find_rule
from labelnoise.errors import InputError

RULES = {
    "gce": [
        {"noise": "asymmetric", "data": ["cifar10", "cifar100"], "q": 0.5, "source": "x"},
        {"noise": "symmetric", "q": 0.9},
    ]
}


def preset(*overrides: str, rules: dict[str, Any] = RULES) -> DictConfig:
    cfg = compose(["technique=gce", *overrides])
    cfg.technique_preset = OmegaConf.create({"name": "mine", "rules": rules})
    return cfg


def test_the_first_rule_that_holds_fills_in_the_options() -> None:
    assert preset().technique.gce.q == 0.9
    assert preset("noise=asymmetric", "data=cifar100").technique.gce.q == 0.5
    assert compose(["technique=gce"]).technique.gce.q == 0.7


def test_a_rule_may_hold_beside_another_technique_alone() -> None:
    rules = {"gce": [{"beside": ["elr", "mixup"], "q": 0.2}, {"q": 0.3}]}
    assert preset("technique=[gce,mixup]", rules=rules).technique.gce.q == 0.2
    assert preset(rules=rules).technique.gce.q == 0.3


def test_what_is_typed_takes_the_place_of_a_preset() -> None:
    assert preset("technique.gce.q=0.3").technique.gce.q == 0.3


def test_an_option_that_a_rule_leaves_out_keeps_its_value() -> None:
    assert preset(rules={"gce": [{"source": "x"}]}).technique.gce.q == 0.7


def test_noise_without_a_rule_is_refused() -> None:
    with pytest.raises(
        InputError,
        match="technique_preset=mine has no entry for gce with data=signal_noise and "
        r"noise=pairflip, it has data=cifar10\|cifar100 with noise=asymmetric or noise=symmetric",
    ):
        check(preset("noise=pairflip"))


def test_a_technique_without_an_entry_is_refused() -> None:
    with pytest.raises(InputError, match="no entry for gce .* it has elr: choose"):
        check(preset(rules={"elr": [{"source": "x"}]}))


@pytest.mark.parametrize("group", ["noise", "data"])
def test_choices_are_found_again(group: str) -> None:
    for path in (CONF_DIR / group).glob("*.yaml"):
        files = {"image_folder": "data.root=x", "image_table": "data.table=x"}
        files |= dict.fromkeys(("human", "human_twin", "file"), "noise.path=x")
        cfg = compose([f"{group}={path.stem}", *[files[n] for n in [path.stem] if n in files]])
        assert choice_of(cfg, group) == path.stem


@pytest.mark.parametrize("path", sorted((CONF_DIR / "technique_preset").glob("*.yaml")), ids=str)
def test_every_rule_names_its_source_and_options_that_exist(path: Path) -> None:
    whole = OmegaConf.load(path)
    assert isinstance(whole, DictConfig)
    assert whole.name == path.stem
    all_rules = whole.get("rules") or {}
    cfg = compose([f"technique=[{','.join(all_rules)}]", f"technique_preset={path.stem}"])
    for technique, rules in all_rules.items():
        raw = OmegaConf.to_container(cfg.technique[technique], resolve=False)
        assert isinstance(raw, dict)
        for rule in rules:
            assert rule.get("source")
            for option in set(rule) - {"data", "noise", "beside", "source"}:
                assert f"preset:{technique}.{option}," in str(raw[option])


@pytest.mark.parametrize(
    ("words", "beta", "strength"),
    [
        (("data=cifar10", "noise=asymmetric"), 0.9, 1.0),
        (("data=cifar10", "noise=symmetric"), 0.7, 3.0),
        (("data=cifar10", "noise=human", "noise.path=x"), 0.7, 3.0),
        (("data=cifar100", "noise=asymmetric"), 0.9, 7.0),
        (("data=cifar100", "noise=symmetric"), 0.9, 7.0),
    ],
)
def test_elr_has_the_constants_that_its_code_has_for_the_noise(
    words: tuple[str, ...], beta: float, strength: float
) -> None:
    elr = compose(["technique=elr", "technique_preset=paper", *words]).technique.elr
    assert (elr.beta, elr.strength) == (beta, strength)


def test_one_setting_for_all_is_the_own_file_where_it_has_no_rule() -> None:
    cfg = compose(["technique=gce", "technique_preset=one"])
    del cfg.technique_preset.rules.gce
    check(cfg)
    assert cfg.technique.gce.q == 0.7
    cfg.technique_preset.name = "paper"
    with pytest.raises(InputError, match="technique_preset=paper has no entry for gce"):
        check(cfg)


def test_no_preset_has_no_rules() -> None:
    cfg = compose(["technique=gce"])
    assert find_rule(cfg, "gce") is None
    check(cfg)


def test_a_rule_that_the_file_of_its_technique_does_not_read_is_refused() -> None:
    cfg = compose(["technique=gce", "technique_preset=one"])
    OmegaConf.update(cfg, "technique_preset.rules.gce", [{"q": 0.5, "trim": 3}], force_add=True)
    with pytest.raises(InputError, match=r"gce.trim, but gce.yaml does not read it"):
        check(cfg)
